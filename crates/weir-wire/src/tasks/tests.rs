//! Laws of tasks on the wire.
