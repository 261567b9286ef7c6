//! The storage of a snapshot's bytes: a file, or anything else that reads and writes by offset.

use std::fmt;
use std::fs::File;
use std::io;

use super::length::length_of;

/// Bytes that are read and written by offset. No call uses a position, so one storage serves all channels at once.
/// A read or write that fails with `Interrupted` is repeated, up to 100 times in a row.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Reads once, and may read less than asked for. Returns 0 only when the bytes end at or before `offset`.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes once, and may write less than asked for. A write behind the end makes the storage larger; bytes that were
    /// never written read as zeros.
    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize>;

    /// The size in bytes. The engine reads nothing behind it, and allocates nothing for what a snapshot says of bytes
    /// there.
    fn size(&self) -> io::Result<u64>;

    /// The local file that has these bytes, if there is one. Requests may then go to the file itself, through io_uring,
    /// and its holes are not read.
    fn file(&self) -> Option<&File> {
        None
    }
}

impl Storage for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        #[cfg(unix)]
        return retry(|| std::os::unix::fs::FileExt::read_at(self, &mut *buffer, offset));
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_read(self, buffer, offset);
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        #[cfg(unix)]
        return retry(|| std::os::unix::fs::FileExt::write_at(self, buffer, offset));
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_write(self, buffer, offset);
    }

    fn size(&self) -> io::Result<u64> {
        length_of(self)
    }

    fn file(&self) -> Option<&File> {
        Some(self)
    }
}

#[cfg(unix)]
fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
