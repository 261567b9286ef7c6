//! The reads of a window: its length as a buffer's, its runs of set pages, and the ranges to read for them.

use std::ops::Range;

use crate::error::{EngineError, ErrorKind, Result};
use crate::pages::Bitmap;

/// One request reads set pages with no more than this many clear bytes between them: a hole costs less to read than a
/// request costs to make. The bytes of clear pages are not used.
const MAX_GAP: u64 = 64 << 10;

/// Turns the length of a window, in bytes, into a buffer's length.
pub(crate) fn in_memory(bytes: u64) -> Result<usize> {
    usize::try_from(bytes)
        .map_err(|_| EngineError::new(ErrorKind::Internal, "a window is larger than memory"))
}

/// Lists the runs of set pages of a window, in bytes from the window's start.
pub(crate) fn set_runs(bitmap: &Bitmap, page_size: u64, window: Range<u64>) -> Vec<Range<u64>> {
    let pages = window.start / page_size..window.end / page_size;
    bitmap
        .runs(pages)
        .map(|run| run.start * page_size - window.start..run.end * page_size - window.start)
        .collect()
}

/// Merges runs into the ranges to read for them.
pub(crate) fn merge(runs: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut merged: Vec<Range<u64>> = Vec::new();
    for run in runs {
        match merged.last_mut() {
            Some(last) if run.start - last.end <= MAX_GAP => last.end = run.end,
            _ => merged.push(run.clone()),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::{MAX_GAP, merge};

    #[test]
    fn runs_with_a_small_gap_are_read_together() {
        let far = 8192 + MAX_GAP + 4096;
        let near = merge(&[0..4096, 4096 + MAX_GAP..8192 + MAX_GAP]);
        assert_eq!(near, std::slice::from_ref(&(0..8192 + MAX_GAP)));
        assert_eq!(merge(&[0..4096, far..far + 4096]), [0..4096, far..far + 4096]);
    }
}
