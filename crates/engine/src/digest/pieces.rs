//! A digest for each piece of a block: which of its pages are not zero, and what they hold.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::Digest;
use crate::error::{EngineError, ErrorKind, Result};
use crate::pages::is_zero;
use crate::transfer::{Pages, Visitor};
use crate::tuning::MAX_REQUEST_SIZE;

/// A piece that has at least one page that is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PieceDigest {
    /// The index of the region in the plan.
    pub region: usize,
    /// The offset at which the piece starts in its block, in bytes.
    pub offset: u64,
    pub digest: Digest,
}

/// Digests the pieces of a transfer's blocks while their pages pass.
///
/// A piece's digest is the BLAKE3 of its pages that are not all zero, in order, and behind them a bitmap of these
/// pages: bit i % 8 of byte i / 8 is page i of the piece. So the digest depends on the contents of the guest's memory,
/// and not on whether a zero page is in the snapshot.
#[derive(Debug)]
pub struct PieceDigests {
    piece_size: u64,
    piece_bytes: usize,
    found: Mutex<Vec<PieceDigest>>,
}

impl PieceDigests {
    /// # Errors
    /// when `piece_size` is not a power of two from `page_size` to 16 MiB
    pub fn new(piece_size: u64, page_size: u64) -> Result<Self> {
        let piece_bytes = usize::try_from(piece_size).unwrap_or(usize::MAX);
        if piece_size < page_size || piece_bytes > MAX_REQUEST_SIZE || !piece_size.is_power_of_two() {
            return Err(EngineError::new(
                ErrorKind::OutOfRange,
                format!(
                    "piece size: expected a power of two from {page_size} to {MAX_REQUEST_SIZE}, found {piece_size}"
                ),
            ));
        }
        Ok(Self {
            piece_size,
            piece_bytes,
            found: Mutex::default(),
        })
    }

    /// Takes the digests out, in order of region and offset, when the transfer is over.
    pub fn take(&self) -> Vec<PieceDigest> {
        let mut found = std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner));
        found.sort_unstable();
        found
    }
}

impl Visitor for PieceDigests {
    fn unit(&self) -> u64 {
        self.piece_size
    }

    fn visit(&self, pages: &Pages<'_>) -> Result<()> {
        let mut offset = pages.start;
        let mut start = 0;
        for piece in pages.bytes.chunks(self.piece_bytes) {
            let range = start..start + piece.len();
            if let Some(digest) = digest(piece, clip(pages.runs, &range), pages.page_size) {
                let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
                found.push(PieceDigest {
                    region: pages.region,
                    offset,
                    digest,
                });
            }
            offset += piece.len() as u64;
            start = range.end;
        }
        Ok(())
    }
}

/// Clips runs to a range. The result counts from the range's start.
fn clip<'a>(runs: &'a [Range<usize>], range: &'a Range<usize>) -> impl Iterator<Item = Range<usize>> + 'a {
    let first = runs.partition_point(|run| run.end <= range.start);
    runs[first..]
        .iter()
        .take_while(|run| run.start < range.end)
        .map(|run| run.start.max(range.start) - range.start..run.end.min(range.end) - range.start)
}

/// Digests one piece. `None` when all of the runs' pages are zero.
fn digest(piece: &[u8], runs: impl Iterator<Item = Range<usize>>, page_size: usize) -> Option<Digest> {
    let mut hasher = blake3::Hasher::new();
    let mut present = vec![0_u8; (piece.len() / page_size).div_ceil(8)];
    for run in runs {
        // One call hashes all pages that touch: long inputs are where BLAKE3 is fast.
        let mut data = run.start..run.start;
        for at in run.step_by(page_size) {
            let page = at..at + page_size;
            if is_zero(&piece[page.clone()]) {
                hasher.update(&piece[data]);
                data = page.end..page.end;
            } else {
                let index = at / page_size;
                present[index / 8] |= 1 << (index % 8);
                data.end = page.end;
            }
        }
        hasher.update(&piece[data]);
    }
    if hasher.count() == 0 {
        return None;
    }
    hasher.update(&present);
    Some(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::{PieceDigests, clip, digest};

    #[test]
    fn a_run_is_cut_at_both_ends_of_a_piece() {
        let runs = [0..4, 6..20, 22..24, 30..40];
        let clipped: Vec<_> = clip(&runs, &(8..32)).collect();
        assert_eq!(clipped, [0..12, 14..16, 22..24]);
        assert_eq!(clip(&runs, &(4..6)).count(), 0);
    }

    #[test]
    fn a_zero_page_counts_the_same_whether_it_is_set_or_not() {
        let mut piece = vec![7; 4 * 512];
        piece[512..1024].fill(0);
        let set = digest(&piece, std::iter::once(0..2048), 512);
        let clear = digest(&piece, [0..512, 1024..2048].into_iter(), 512);
        assert_eq!(set, clear);
        let without_last = digest(&piece, std::iter::once(0..1536), 512);
        assert_ne!(set, without_last);
    }

    #[test]
    fn zero_pages_alone_have_no_digest() {
        assert_eq!(digest(&[0; 2048], std::iter::once(0..2048), 512), None);
        assert_eq!(digest(&[1; 2048], std::iter::empty(), 512), None);
    }

    #[test]
    fn a_page_that_moves_in_its_piece_changes_the_digest() {
        let (mut left, mut right) = (vec![0; 2048], vec![0; 2048]);
        left[0] = 1;
        right[512] = 1;
        let of = |piece: &[u8]| digest(piece, std::iter::once(0..2048), 512);
        assert_ne!(of(&left), of(&right));
    }

    #[test]
    fn impossible_piece_sizes_are_refused() {
        for (piece, page) in [(2048, 4096), (0, 4096), (12288, 4096), (32 << 20, 4096)] {
            assert!(PieceDigests::new(piece, page).is_err(), "{piece} of {page}");
        }
        assert!(PieceDigests::new(65536, 65536).is_ok());
    }
}
