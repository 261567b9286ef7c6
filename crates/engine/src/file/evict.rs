//! A file's way out of the page cache, for those who measure reads that come from the disk.

use std::fs::File;
use std::io;

use std::path::Path;

use crate::error::{EngineError, Result};

/// Writes a file's dirty pages to the disk, and drops its pages from the page cache. Pages that a process has mapped
/// stay there.
pub fn evict(path: &Path) -> Result<()> {
    let dropped = File::open(path).and_then(|file| drop_pages(&file));
    dropped.map_err(|error| {
        EngineError::io("cannot drop the file from the page cache", error).on(path.to_string_lossy())
    })
}

#[cfg(target_os = "linux")]
fn drop_pages(file: &File) -> io::Result<()> {
    use rustix::fs::{Advice, fadvise};
    // The kernel drops clean pages only.
    file.sync_all()?;
    Ok(fadvise(file, 0, None, Advice::DontNeed)?)
}

#[cfg(not(target_os = "linux"))]
fn drop_pages(_file: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
