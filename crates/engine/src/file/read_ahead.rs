//! Reads that nobody waits for: the kernel fetches stretches of a file into the page cache.

use std::ops::Range;

use super::source::FileSource;
use crate::error::{EngineError, Result};

/// Has the kernel read ranges of a file, in bytes, in their order. Settles when nearly all of them are there. Only a few
/// MiB are under way at a time, so that a read for which somebody waits does not stand behind all the others.
/// # Errors
/// when the file cannot be opened, and on other systems than Linux
pub fn read_ahead(source: &FileSource, ranges: &[Range<u64>]) -> Result<()> {
    let failed = |error| EngineError::io("reading the file ahead", error).on(source.name());
    let file = source.open(false).map_err(failed)?;
    fetch(&file, ranges)
        .map_err(|(error, at)| EngineError::io("reading the file ahead", error).at(source.name(), at))
}

/// The kernel reads no more than its window at a call, whatever is asked for. This is the usual window's size.
#[cfg(target_os = "linux")]
const PIECE: u64 = 128 << 10;
/// Bytes that are waited for at once, while as many are under way behind them.
#[cfg(target_os = "linux")]
const WINDOW: u64 = 4 << 20;

#[cfg(target_os = "linux")]
fn fetch(file: &std::fs::File, ranges: &[Range<u64>]) -> std::result::Result<(), (std::io::Error, u64)> {
    use std::num::NonZeroU64;
    use std::os::unix::fs::FileExt;

    let mut before: Vec<u64> = Vec::new();
    let mut window: Vec<u64> = Vec::new();
    let mut bytes = 0;
    for range in ranges {
        let mut start = range.start;
        while start < range.end {
            let length = (range.end - start).min(PIECE);
            rustix::fs::fadvise(file, start, NonZeroU64::new(length), rustix::fs::Advice::WillNeed)
                .map_err(|error| (error.into(), start))?;
            window.push(start + length - 1);
            start += length;
            bytes += length;
            if bytes < WINDOW {
                continue;
            }
            for last in before.drain(..) {
                // Who needs the page finds out what is wrong with it.
                let _ = file.read_at(&mut [0], last);
            }
            std::mem::swap(&mut before, &mut window);
            bytes = 0;
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn fetch(_file: &std::fs::File, _ranges: &[Range<u64>]) -> std::result::Result<(), (std::io::Error, u64)> {
    Err((std::io::ErrorKind::Unsupported.into(), 0))
}
