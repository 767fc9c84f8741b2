//! A scripted server on this machine that tells what the real client sends and when it gives up.
