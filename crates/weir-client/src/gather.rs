//! Several small buffers leave in one plain write: the kernel's vectored path costs more than copying what one event or one head has.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Up to this many bytes are copied together; more are written from where they lie.
const COPIED_BYTES: usize = 4096;

/// A byte stream whose small vectored writes are gathered.
#[derive(Debug)]
pub struct Gather<I>(pub I);

impl<I: AsyncRead + Unpin> AsyncRead for Gather<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Gather<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let whole: usize = bufs.iter().map(|buf| buf.len()).sum();
        if whole > COPIED_BYTES {
            return Pin::new(&mut self.0).poll_write_vectored(cx, bufs);
        }
        // Not zeroed first: that would cost more than the copy of an event.
        let mut space = [MaybeUninit::uninit(); COPIED_BYTES];
        let mut copied = ReadBuf::uninit(&mut space);
        for buf in bufs {
            copied.put_slice(buf);
        }
        Pin::new(&mut self.0).poll_write(cx, copied.filled())
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn gathered_or_not_the_bytes_are_the_same() {
        for length in [0, 1, COPIED_BYTES / 2, COPIED_BYTES] {
            let (ours, mut theirs) = tokio::io::duplex(4 * COPIED_BYTES);
            let (first, second) = (vec![b'a'; length], vec![b'b'; length]);
            let mut gather = Gather(ours);
            let written = gather.write_vectored(&[IoSlice::new(&first), IoSlice::new(&second)]).await.unwrap();
            gather.write_all(&[&first[..], &second[..]].concat()[written..]).await.unwrap();
            drop(gather);
            let mut read = Vec::new();
            theirs.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, [first, second].concat());
        }
    }
}
