//! The engine's hot loops, for the program that counts their instructions (benches/instructions.rs). Nobody else uses
//! this: the feature is off in the shipped binary.

use std::ops::Range;

use crate::pages::Bitmap;

/// Lists the byte ranges of a window's pages that a save writes.
pub fn data_runs(bytes: &[u8], page: usize) -> Vec<Range<usize>> {
    crate::transfer::data_runs(bytes, page, false)
}

/// Lists the byte ranges of a window that are read for its set pages.
pub fn reads(bitmap: &Bitmap, page_size: u64, window: Range<u64>) -> Vec<Range<u64>> {
    crate::run::merge(&crate::run::set_runs(bitmap, page_size, window))
}
