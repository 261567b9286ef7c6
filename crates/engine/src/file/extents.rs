//! The data and the holes of a file.

use std::fs::File;
use std::ops::Range;

/// Finds the next stretch of data at or after `offset`; `None` where only a hole is left. The bytes before the stretch
/// read as zeros. A filesystem that cannot tell data from holes may have data everywhere. The search moves the file
/// position, so the description of `file` must be ours alone. A file that changes meanwhile may have holes in the
/// stretch, or an empty stretch: reading a hole does no harm.
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
