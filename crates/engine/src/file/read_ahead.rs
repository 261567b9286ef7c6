//! Reads that nobody waits for: the kernel fetches stretches of a file into the page cache.

use std::ops::Range;

use super::source::FileSource;
use crate::error::{EngineError, Result};

/// Has the kernel read ranges of a file, in bytes, in their order. Settles when the disk has been asked for all of them;
/// the pages come a little later.
/// # Errors
/// when the file cannot be opened, and on other systems than Linux
pub fn read_ahead(source: &FileSource, ranges: &[Range<u64>]) -> Result<()> {
    let failed = |error| EngineError::io("reading the file ahead", error).on(source.name());
    let file = source.open(false).map_err(failed)?;
    for range in ranges {
        fetch(&file, range).map_err(|error| {
            EngineError::io("reading the file ahead", error).at(source.name(), range.start)
        })?;
    }
    Ok(())
}

/// The kernel reads no more than its window at a call, whatever is asked for. This is the usual window's size.
#[cfg(target_os = "linux")]
const PIECE: usize = 128 << 10;

#[cfg(target_os = "linux")]
fn fetch(file: &std::fs::File, range: &Range<u64>) -> std::io::Result<()> {
    use std::num::NonZeroU64;
    for start in range.clone().step_by(PIECE) {
        let length = NonZeroU64::new((range.end - start).min(PIECE as u64));
        rustix::fs::fadvise(file, start, length, rustix::fs::Advice::WillNeed)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn fetch(_file: &std::fs::File, _range: &Range<u64>) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
