//! One connection to QEMU, and what is being written to it.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::batch::Batch;
use crate::watched::watched;

#[derive(Debug)]
pub(crate) struct Channel {
    socket: AsyncFd<OwnedFd>,
    /// The block of the last record: the next record need not name it.
    named: Option<usize>,
    writing: Option<Writing>,
    /// The section that each batch becomes; `None` on the channel that carries bare records.
    section: Option<u32>,
    sent: u64,
}

#[derive(Debug)]
struct Writing {
    output: Output,
    left: Range<usize>,
}

/// Bytes to be written in one piece.
#[derive(Debug)]
pub(crate) enum Output {
    /// Commands, the opening, the end.
    Plain(Vec<u8>),
    Batch(Batch),
}

impl Channel {
    /// `buffer` is how many bytes the kernel shall keep, roughly.
    pub(crate) fn new(socket: OwnedFd, section: Option<u32>, buffer: usize) -> io::Result<Self> {
        // The kernel doubles the number. A limit of the host may make it less.
        set_socket_send_buffer_size(&socket, buffer / 2)?;
        Ok(Self {
            socket: watched(socket, Interest::READABLE | Interest::WRITABLE)?,
            named: None,
            writing: None,
            section,
            sent: 0,
        })
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.writing.is_none()
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    pub(crate) fn start(&mut self, bytes: Vec<u8>) {
        let left = 0..bytes.len();
        let output = Output::Plain(bytes);
        self.writing = Some(Writing { output, left });
    }

    /// Starts to write a batch. `name` is its block's name behind its length.
    pub(crate) fn start_batch(&mut self, mut batch: Batch, name: &[u8]) {
        let name = (self.named != Some(batch.block())).then_some(name);
        self.named = Some(batch.block());
        let left = batch.sealed(name, self.section);
        let output = Output::Batch(batch);
        self.writing = Some(Writing { output, left });
    }

    /// Writes what the socket takes. Gives the output back once all of it is written.
    pub(crate) fn flush(&mut self) -> io::Result<Option<Output>> {
        let Some(writing) = &mut self.writing else {
            return Ok(None);
        };
        let bytes = match &writing.output {
            Output::Plain(bytes) => bytes.as_slice(),
            Output::Batch(batch) => batch.bytes(),
        };
        while !writing.left.is_empty() {
            let rest = &bytes[writing.left.clone()];
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let write = |socket: &OwnedFd| rustix::io::retry_on_intr(|| send(socket, rest, flags));
            match self
                .socket
                .try_io(Interest::WRITABLE, |socket| Ok(write(socket)?))
            {
                Ok(count) => {
                    writing.left.start += count;
                    self.sent += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(self.writing.take().map(|writing| writing.output))
    }

    /// Forgets what was being written.
    pub(crate) fn give_up(&mut self) {
        self.writing = None;
    }

    /// Reads what there is: `None` when there is nothing, 0 at the end.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut read = |socket: &OwnedFd| {
            let (count, _) = rustix::io::retry_on_intr(|| recv(socket, &mut *buffer, RecvFlags::DONTWAIT))?;
            Ok(count)
        };
        match self.socket.try_io(Interest::READABLE, |socket| read(socket)) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_read_ready(context).map_ok(drop)
    }

    pub(crate) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write_ready(context).map_ok(drop)
    }
}
