//! Reads and writes by offset that are repeated until they are whole.

use std::io;

use super::storage::Storage;

/// A storage may interrupt calls this often in a row before that counts as an error.
const MAX_INTERRUPTIONS: u32 = 100;

/// Reads until `buffer` is full or the storage ends. Returns how many bytes there were.
pub(crate) fn read_full_at<S: Storage + ?Sized>(
    storage: &S,
    buffer: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        let rest = &mut buffer[done..];
        let length = rest.len();
        match move_once(length, || storage.read_at(&mut *rest, offset + done as u64))? {
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
        let rest = &buffer[done..];
        match move_once(rest.len(), || storage.write_at(rest, offset + done as u64))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => done += count,
        }
    }
    Ok(())
}

/// Repeats a call that is interrupted. A storage is foreign code: a count larger than `length` is an error, because the
/// rest of a buffer is cut by the count.
fn move_once(length: usize, mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    let mut interruptions = 0;
    loop {
        match call() {
            Ok(count) if count > length => {
                return Err(io::Error::other("more bytes than asked for"));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted && interruptions < MAX_INTERRUPTIONS => {
                interruptions += 1;
            }
            result => return result,
        }
    }
}
