//! Positional I/O on every platform: never through the file position, so one descriptor serves all channels.

use std::fs::File;
use std::io;

/// One pread: may be short.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return retry(|| std::os::unix::fs::FileExt::read_at(file, &mut *buffer, offset));
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_read(file, buffer, offset);
}

/// One pwrite: may be short.
pub fn write_at(file: &File, buffer: &[u8], offset: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return retry(|| std::os::unix::fs::FileExt::write_at(file, buffer, offset));
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_write(file, buffer, offset);
}

/// Reads until `buffer` is full or the file ends; says how much there was.
pub fn read_full_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match read_at(file, &mut buffer[done..], offset + done as u64)? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}

/// Writes all of `buffer`.
pub fn write_all_at(file: &File, buffer: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match write_at(file, &buffer[done..], offset + done as u64)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => done += count,
        }
    }
    Ok(())
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
