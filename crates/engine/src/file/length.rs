//! The length of a file, or of a disk, whose metadata have none.

use std::fs::File;
use std::io;

/// The bytes that can be read from a file or a block device.
#[cfg(unix)]
pub(super) fn length_of(file: &File) -> io::Result<u64> {
    use std::io::{Seek, SeekFrom};
    use std::os::unix::fs::FileTypeExt;

    use super::source::again;
    let metadata = file.metadata()?;
    if !metadata.file_type().is_block_device() {
        return Ok(metadata.len());
    }
    // The search for the end moves the position, so it takes a description of its own where there can be one. No
    // request uses a position in any case.
    let own = again(file);
    let mut disk = own.as_ref().unwrap_or(file);
    disk.seek(SeekFrom::End(0))
}

#[cfg(not(unix))]
pub(super) fn length_of(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}
