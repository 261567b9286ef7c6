//! The runs of a window of memory that are written, and the gaps between them that are written too.

use std::ops::Range;

use crate::pages::is_zero;

/// One request writes runs with no more than this many zero bytes between them, because a request costs more than these
/// bytes do.
const MAX_GAP: usize = 32 << 10;
/// Zeros between runs may add one byte to this many bytes of data, in each window.
const DATA_PER_GAP: usize = 8;

/// Lists the byte ranges of adjacent pages that are to be written.
pub(crate) fn data_runs(bytes: &[u8], page: usize, store_zero_pages: bool) -> Vec<Range<usize>> {
    let data = bytes
        .chunks(page)
        .map(|content| store_zero_pages || !is_zero(content));
    runs_of(data, page, bytes.len())
}

/// Lists the byte ranges of adjacent pages that are marked, of a window of `length` bytes.
pub(super) fn runs_of(marks: impl Iterator<Item = bool>, page: usize, length: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, _) in marks.enumerate().filter(|(_, marked)| *marked) {
        let start = index * page;
        let end = (start + page).min(length);
        match runs.last_mut() {
            Some(run) if run.end == start => run.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

pub(super) fn bytes_of(runs: &[Range<usize>]) -> u64 {
    runs.iter().map(|run| run.len() as u64).sum()
}

/// Joins runs of a copy with small gaps between them. The gaps hold zeros in the copy, and get zeros in the file, where
/// the bits of their pages stay clear.
pub(super) fn fill_gaps(runs: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut left = runs.iter().map(Range::len).sum::<usize>() / DATA_PER_GAP;
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(runs.len());
    for run in runs {
        match joined.last_mut() {
            Some(last) if run.start - last.end <= MAX_GAP.min(left) => {
                left -= run.start - last.end;
                last.end = run.end;
            }
            _ => joined.push(run.clone()),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::{DATA_PER_GAP, MAX_GAP, data_runs, fill_gaps};

    const PAGE: usize = 4096;

    #[test]
    fn adjacent_data_pages_form_one_run() {
        let mut bytes = vec![0; 6 * PAGE];
        for page in [0, 1, 3, 5] {
            bytes[page * PAGE + 17] = 1;
        }
        assert_eq!(
            data_runs(&bytes, PAGE, false),
            [0..8192, 12288..16384, 20480..24576]
        );
    }

    #[test]
    fn stored_zero_pages_make_one_run_of_everything() {
        assert_eq!(
            data_runs(&[0; 3 * PAGE], PAGE, true),
            std::slice::from_ref(&(0..3 * PAGE))
        );
    }

    #[test]
    fn small_gaps_are_filled_and_large_ones_are_not() {
        let long = 64 * PAGE;
        let runs = [
            0..long,
            long + MAX_GAP..2 * long,
            2 * long + MAX_GAP + PAGE..3 * long,
        ];
        assert_eq!(
            fill_gaps(&runs),
            [0..2 * long, 2 * long + MAX_GAP + PAGE..3 * long]
        );
    }

    #[test]
    fn filled_gaps_are_a_small_part_of_the_data() {
        // Every second page holds data.
        let runs: Vec<_> = (0..128).map(|run| run * 2 * PAGE..(run * 2 + 1) * PAGE).collect();
        let written: usize = fill_gaps(&runs).iter().map(std::ops::Range::len).sum();
        let data = 128 * PAGE;
        assert!(
            written > data && written - data <= data / DATA_PER_GAP,
            "{written}"
        );
        assert_eq!(fill_gaps(&runs[..2]), runs[..2]);
    }
}
