//! Where a file has data and where it has holes.

use std::fs::File;
use std::ops::Range;

/// The next stretch of data at or after `offset`; `None` where only a hole is left. What lies before it reads as zeros.
/// A filesystem that cannot tell may have data everywhere. Moves the file position, so `file` must be ours alone.
/// A file that changes meanwhile may have holes in the stretch, even a stretch that is empty: reading them is no harm.
#[cfg(target_os = "linux")]
pub(crate) fn next_extent(file: &File, offset: u64) -> Option<Range<u64>> {
    use rustix::fs::{SeekFrom, seek};
    let start = match seek(file, SeekFrom::Data(offset)) {
        Ok(start) => start,
        Err(rustix::io::Errno::NXIO) => return None,
        Err(_) => return Some(offset..u64::MAX),
    };
    Some(start..seek(file, SeekFrom::Hole(start)).unwrap_or(u64::MAX))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn next_extent(file: &File, offset: u64) -> Option<Range<u64>> {
    let length = file.metadata().map_or(u64::MAX, |metadata| metadata.len());
    (offset < length).then_some(offset..length)
}
