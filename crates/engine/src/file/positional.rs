//! Reads and writes by offset that are repeated until they are whole.

use std::io;

use super::storage::Storage;

/// Reads until `buffer` is full or the storage ends. Returns how many bytes there were.
pub(crate) fn read_full_at<S: Storage + ?Sized>(
    storage: &S,
    buffer: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match storage.read_at(&mut buffer[done..], offset + done as u64)? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}

/// Writes all of `buffer`.
pub(crate) fn write_all_at<S: Storage + ?Sized>(storage: &S, buffer: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match storage.write_at(&buffer[done..], offset + done as u64)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => done += count,
        }
    }
    Ok(())
}
