//! The differences of pages between two snapshots: two bits a page, so that the answer is as small as a bitmap.

use std::mem::ManuallyDrop;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

use super::bitmap::try_zeroed;

const PAGES_IN_BYTE: u64 = 4;

/// The difference of a page. A page that reads as zeros is a zero page, whether its bit is set or clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// The right side has other data.
    Changed = 1,
    /// The left side has data, the right side zeros.
    BecameZero = 2,
    /// The left side has zeros, the right side data.
    BecameData = 3,
}

impl Difference {
    /// The difference in the bits of all four pages of a byte.
    const fn everywhere(self) -> u8 {
        match self {
            Self::Changed => 0b0101_0101,
            Self::BecameZero => 0b1010_1010,
            Self::BecameData => 0b1111_1111,
        }
    }
}

/// A block's differences, which channels fill in: page i has bits 2 × (i % 4) and the next of byte i / 4; 0 where the
/// pages are equal.
#[derive(Debug, Default)]
pub struct Differences {
    bytes: Vec<AtomicU8>,
}

impl Differences {
    /// Makes differences that are all equal. `None` when there is no memory for them. Bytes that stay zero take up
    /// none.
    pub fn try_new(pages: u64) -> Option<Self> {
        let bytes = try_zeroed(pages.div_ceil(PAGES_IN_BYTE))?;
        Some(Self { bytes })
    }

    /// Sets the difference of a run of pages. Nobody sets it twice for a page.
    pub fn set(&self, run: Range<u64>, difference: Difference) {
        let mut page = run.start;
        while page < run.end {
            let index = page / PAGES_IN_BYTE;
            let end = run.end.min((index + 1) * PAGES_IN_BYTE);
            let mask = (u8::MAX >> (8 - 2 * (end - page))) << (2 * (page % PAGES_IN_BYTE));
            if let Some(byte) = usize::try_from(index)
                .ok()
                .and_then(|index| self.bytes.get(index))
            {
                // Readers come after the channels' threads have been joined, which orders the bits.
                byte.fetch_or(mask & difference.everywhere(), Ordering::Relaxed);
            }
            page = end;
        }
    }

    /// Turns into the bytes, without copying them.
    pub fn into_bytes(self) -> Vec<u8> {
        let mut bytes = ManuallyDrop::new(self.bytes);
        let (length, capacity) = (bytes.len(), bytes.capacity());
        let start = bytes.as_mut_ptr().cast::<u8>();
        // SAFETY: needed because collecting writes every byte, in place or not, and so takes a GiB of memory for the
        // differences of 16 TiB that are equal. It is sound because the parts are those of a vector that nobody else
        // has and that is not dropped, and an `AtomicU8` has the size, alignment and bit validity of a `u8`.
        unsafe { Vec::from_raw_parts(start, length, capacity) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Difference, Differences};
    use proptest::prelude::*;

    fn difference() -> impl Strategy<Value = Option<Difference>> {
        proptest::sample::select(vec![
            None,
            Some(Difference::Changed),
            Some(Difference::BecameZero),
            Some(Difference::BecameData),
        ])
    }

    proptest! {
        #[test]
        fn runs_set_the_two_bits_of_their_pages(runs in proptest::collection::vec((difference(), 1_u64..80), 0..12)) {
            let expected: Vec<u8> = runs
                .iter()
                .flat_map(|(difference, length)| (0..*length).map(|_| difference.map_or(0, |found| found as u8)))
                .collect();
            let pages = expected.len() as u64;
            let differences = Differences::try_new(pages).unwrap();
            let mut page = 0;
            for (difference, length) in runs {
                if let Some(difference) = difference {
                    differences.set(page..page + length, difference);
                }
                page += length;
            }
            let bytes = differences.into_bytes();
            prop_assert_eq!(bytes.len() as u64, pages.div_ceil(4));
            let found: Vec<u8> = (0..expected.len()).map(|page| bytes[page / 4] >> (2 * (page % 4)) & 3).collect();
            prop_assert_eq!(found, expected);
            // The bits beyond the last page are clear.
            let used = 2 * (pages % 4);
            prop_assert!(used == 0 || bytes.last().is_some_and(|last| last >> used == 0));
        }
    }
}
