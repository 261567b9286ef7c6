//! The page bitmap as the file has it: little-endian 64-bit words, bit i of the block is bit i % 64 of word i / 64
//! (docs/format.md §2.5).

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use bytemuck::Zeroable;

/// The bytes of a bitmap of `pages` bits: whole 64-bit words.
pub const fn bitmap_bytes(pages: u64) -> u64 {
    pages.div_ceil(64) * 8
}

/// Makes `count` zeros, which take up memory once something else is written to them. `None` when there are too many.
pub(super) fn try_zeroed<T: Zeroable>(count: u64) -> Option<Vec<T>> {
    let count = usize::try_from(count).ok()?;
    bytemuck::allocation::try_zeroed_vec(count).ok()
}

/// The bits of pages of one word: at least one page.
const fn bits(pages: Range<u64>) -> u64 {
    (u64::MAX >> (64 - (pages.end - pages.start))) << (pages.start % 64)
}

/// A bitmap that was read from a file, to be walked.
#[derive(Debug, Default)]
pub struct Bitmap {
    words: Vec<u64>,
    pages: u64,
}

impl Bitmap {
    /// Makes a bitmap that is all clear. `None` when there is no memory for it. Words that stay zero take up none.
    pub fn try_new(pages: u64) -> Option<Self> {
        let words = try_zeroed(pages.div_ceil(64))?;
        Some(Self { words, pages })
    }

    /// Takes words of the file from byte `offset` of the bitmap on, a multiple of 8, where all bits are clear so far.
    /// Bits beyond the last page are ignored, as QEMU does.
    pub fn fill(&mut self, offset: u64, bytes: &[u8]) {
        let first = usize::try_from(offset / 8).unwrap_or(usize::MAX);
        let (pieces, _) = bytes.as_chunks::<8>();
        for (word, bytes) in self.words.iter_mut().skip(first).zip(pieces) {
            let value = u64::from_le_bytes(*bytes);
            // A zero that is written would make the kernel give memory to it.
            if value != 0 {
                *word = value;
            }
        }
    }

    /// Sets the bits of a run of pages. Pages that the bitmap does not have are left out.
    pub fn set(&mut self, run: Range<u64>) {
        let mut page = run.start;
        let end = run.end.min(self.pages);
        while page < end {
            let index = page / 64;
            let last = end.min((index + 1) * 64);
            if let Some(word) = usize::try_from(index)
                .ok()
                .and_then(|index| self.words.get_mut(index))
            {
                *word |= bits(page..last);
            }
            page = last;
        }
    }

    /// The number of pages that have a bit.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    pub fn is_set(&self, page: u64) -> bool {
        page < self.pages
            && self
                .word(page / 64)
                .is_some_and(|word| word >> (page % 64) & 1 == 1)
    }

    /// Finds the first set page at or after `page`.
    pub fn next_set(&self, page: u64) -> Option<u64> {
        self.find(page, 0).filter(|found| *found < self.pages)
    }

    /// Finds the first clear page at or after `page`, or returns the number of pages.
    pub fn next_clear(&self, page: u64) -> u64 {
        self.find(page, u64::MAX)
            .map_or(self.pages, |found| found.min(self.pages))
    }

    /// Walks the runs of set pages inside `window`, in order.
    pub fn runs(&self, window: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut page = window.start;
        std::iter::from_fn(move || {
            let start = self.next_set(page).filter(|start| *start < window.end)?;
            let end = self.next_clear(start).min(window.end);
            page = end;
            Some(start..end)
        })
    }

    pub fn count(&self) -> u64 {
        let whole = self
            .words
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum::<u64>();
        let beyond = match (self.words.last(), self.pages % 64) {
            (Some(last), used) if used > 0 => u64::from((last >> used).count_ones()),
            _ => 0,
        };
        whole - beyond
    }

    /// Finds the last set page.
    pub fn last_set(&self) -> Option<u64> {
        (0..self.pages.div_ceil(64)).rev().find_map(|index| {
            let word = self.word(index)? & self.mask(index);
            (word != 0).then(|| index * 64 + 63 - u64::from(word.leading_zeros()))
        })
    }

    /// Finds the first page at or after `page` whose bit differs from the bits of `flip`.
    fn find(&self, page: u64, flip: u64) -> Option<u64> {
        let mut index = page / 64;
        let mut word = (self.word(index)? ^ flip) & (u64::MAX << (page % 64));
        while word == 0 {
            index += 1;
            word = self.word(index)? ^ flip;
        }
        Some(index * 64 + u64::from(word.trailing_zeros()))
    }

    fn word(&self, index: u64) -> Option<u64> {
        self.words.get(usize::try_from(index).ok()?).copied()
    }

    fn mask(&self, index: u64) -> u64 {
        match self.pages - index * 64 {
            used @ 0..64 => !(u64::MAX << used),
            _ => u64::MAX,
        }
    }
}

/// A bitmap that channels fill in while they save.
#[derive(Debug)]
pub struct AtomicBitmap {
    words: Vec<AtomicU64>,
}

impl AtomicBitmap {
    /// Makes a bitmap that is all clear. `None` when there is no memory for it. Words that stay zero take up none.
    pub fn try_new(pages: u64) -> Option<Self> {
        let words = try_zeroed(pages.div_ceil(64))?;
        Some(Self { words })
    }

    /// Sets the bits of a run of pages.
    pub fn set(&self, run: Range<u64>) {
        let mut page = run.start;
        while page < run.end {
            let index = page / 64;
            let end = run.end.min((index + 1) * 64);
            if let Some(word) = usize::try_from(index)
                .ok()
                .and_then(|index| self.words.get(index))
            {
                // Readers come after the channels' threads have ended or met at a lock, which orders the bits.
                word.fetch_or(bits(page..end), Ordering::Relaxed);
            }
            page = end;
        }
    }

    /// Sets the bits that `base` has set and `except` has not.
    pub fn set_all_but(&self, base: &Bitmap, except: &Bitmap) {
        for (index, word) in (0..).zip(&self.words) {
            let kept = base.word(index).map_or(0, |found| found & base.mask(index));
            let kept = kept & !except.word(index).unwrap_or(0);
            // A zero that is written would make the kernel give memory to it.
            if kept != 0 {
                word.fetch_or(kept, Ordering::Relaxed);
            }
        }
    }

    pub fn len_bytes(&self) -> u64 {
        self.words.len() as u64 * 8
    }

    /// Copies file bytes `offset..offset + out.len()` of the bitmap; both ends must be multiples of 8.
    pub fn copy_bytes(&self, offset: u64, out: &mut [u8]) {
        let first = usize::try_from(offset / 8).unwrap_or(usize::MAX);
        let (pieces, _) = out.as_chunks_mut::<8>();
        for (piece, word) in pieces.iter_mut().zip(self.words.iter().skip(first)) {
            *piece = word.load(Ordering::Relaxed).to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AtomicBitmap, Bitmap, bitmap_bytes};
    use proptest::prelude::*;

    fn bitmap_of(bytes: &[u8], pages: u64) -> Bitmap {
        let mut bitmap = Bitmap::try_new(pages).unwrap();
        bitmap.fill(0, bytes);
        bitmap
    }

    proptest! {
        #[test]
        fn runs_equal_a_bit_at_a_time_loop(bits in proptest::collection::vec(any::<bool>(), 0..400), from in 0u64..400, length in 0u64..400) {
            let pages = bits.len() as u64;
            let atomic = AtomicBitmap::try_new(pages).unwrap();
            for (page, bit) in (0..).zip(&bits) {
                if *bit {
                    atomic.set(page..page + 1);
                }
            }
            let mut bytes = vec![0; usize::try_from(bitmap_bytes(pages)).unwrap()];
            atomic.copy_bytes(0, &mut bytes);
            let bitmap = bitmap_of(&bytes, pages);
            let end = (from + length).min(pages);
            let walked: Vec<u64> = bitmap.runs(from..end).flatten().collect();
            let naive: Vec<u64> = (from..end).filter(|page| bits[usize::try_from(*page).unwrap()]).collect();
            prop_assert_eq!(&walked, &naive);
            let asked: Vec<u64> = (from..end).filter(|page| bitmap.is_set(*page)).collect();
            prop_assert_eq!(asked, naive);
            prop_assert_eq!(bitmap.count(), bits.iter().filter(|bit| **bit).count() as u64);
            prop_assert_eq!(bitmap.last_set(), bits.iter().rposition(|bit| *bit).map(|page| page as u64));
        }

        #[test]
        fn setting_a_run_sets_just_its_pages(start in 0u64..300, length in 0u64..300) {
            let atomic = AtomicBitmap::try_new(640).unwrap();
            atomic.set(start..start + length);
            let mut bytes = vec![0; 80];
            atomic.copy_bytes(0, &mut bytes);
            let pages: Vec<u64> = bitmap_of(&bytes, 640).runs(0..640).flatten().collect();
            prop_assert_eq!(pages, (start..start + length).collect::<Vec<_>>());
        }
    }

    proptest! {
        #[test]
        fn bits_of_one_bitmap_without_those_of_another(
            pages in proptest::collection::vec((any::<bool>(), any::<bool>()), 0..300),
            runs in proptest::collection::vec((0_u64..320, 0_u64..90), 0..4),
        ) {
            let count = pages.len() as u64;
            let (mut base, mut except) = (Bitmap::try_new(count).unwrap(), Bitmap::try_new(count).unwrap());
            for (page, (in_base, in_except)) in (0..).zip(&pages) {
                if *in_base {
                    base.set(page..page + 1);
                }
                if *in_except {
                    except.set(page..page + 1);
                }
            }
            for (start, length) in &runs {
                base.set(*start..start + length);
            }
            let is_in_base = |page: u64| pages[usize::try_from(page).unwrap()].0 || runs.iter().any(|(start, length)| (*start..start + length).contains(&page));
            let atomic = AtomicBitmap::try_new(count).unwrap();
            atomic.set_all_but(&base, &except);
            let mut bytes = vec![0; usize::try_from(bitmap_bytes(count)).unwrap()];
            atomic.copy_bytes(0, &mut bytes);
            let found: Vec<u64> = bitmap_of(&bytes, count).runs(0..count).flatten().collect();
            let naive: Vec<u64> = (0..count).filter(|page| is_in_base(*page) && !pages[usize::try_from(*page).unwrap()].1).collect();
            prop_assert_eq!(found, naive);
            // The words' unused bits stay clear.
            prop_assert_eq!(bytes.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>(), bitmap_of(&bytes, count).count());
        }
    }

    #[test]
    fn bits_beyond_the_last_page_are_ignored() {
        let bitmap = bitmap_of(&[0xff; 16], 70);
        assert_eq!(bitmap.count(), 70);
        assert_eq!(bitmap.last_set(), Some(69));
        assert!(!bitmap.is_set(70));
        assert_eq!(bitmap.next_set(70), None);
        assert_eq!(bitmap.next_clear(0), 70);
    }
}
