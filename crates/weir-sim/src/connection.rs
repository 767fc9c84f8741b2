//! A byte stream that can be broken the rude way.

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::TcpStream,
};

/// What the simulator serves on. `reset` ends it without a goodbye.
pub trait Connection: AsyncRead + AsyncWrite + Unpin + Send {
    /// Ends the connection as a crash would: unsent bytes are dropped and the other side sees a reset where the transport knows one.
    fn reset(self);
}

impl Connection for TcpStream {
    fn reset(self) {
        // With a zero linger the close sends RST; if the option fails the close is still a cut, only a politer one.
        let _ = self.set_zero_linger();
    }
}

impl Connection for DuplexStream {
    /// Pipes know no reset: the other side sees the end of input.
    fn reset(self) {}
}
