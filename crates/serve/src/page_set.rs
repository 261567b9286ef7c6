//! A set of the pages of one block.

use mapped_ram_engine::error::Result;
use mapped_ram_engine::{EngineError, ErrorKind};

/// A set of pages, or of host pages, of one block. Words that stay zero take up no memory.
#[derive(Debug, Clone, Default)]
pub struct PageSet {
    words: Vec<u64>,
    pages: u64,
}

impl PageSet {
    /// Makes an empty set for pages `0..pages`.
    /// # Errors
    /// when there is no memory for that many
    pub fn new(pages: u64) -> Result<Self> {
        let words = usize::try_from(pages.div_ceil(64))
            .ok()
            .and_then(|count| bytemuck::allocation::try_zeroed_vec(count).ok());
        let none = || {
            let words = format!("there is no memory for a bitmap of {pages} pages");
            EngineError::new(ErrorKind::OutOfRange, words)
        };
        Ok(Self {
            words: words.ok_or_else(none)?,
            pages,
        })
    }

    /// Takes the bits of a bitmap: bit i % 8 of byte i / 8 is page i. Bits behind the last page are left out.
    /// # Errors
    /// when the bitmap is too short. The bytes at hand bound what is allocated.
    pub fn from_bytes(what: &str, pages: u64, bytes: &[u8]) -> Result<Self> {
        let expected = pages.div_ceil(8);
        if (bytes.len() as u64) < expected {
            let found = bytes.len();
            let words = format!("{what}: expected {expected} bytes for {pages} pages, found {found}");
            return Err(EngineError::new(ErrorKind::InvalidArgument, words));
        }
        let mut set = Self::new(pages)?;
        for (word, bytes) in set.words.iter_mut().zip(bytes.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(whole);
        }
        if let (Some(last), used @ 1..) = (set.words.last_mut(), pages % 64) {
            *last &= !(u64::MAX << used);
        }
        Ok(set)
    }

    /// The number of pages that may be in the set.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    pub fn contains(&self, page: u64) -> bool {
        page < self.pages && self.word(page / 64) >> (page % 64) & 1 == 1
    }

    /// Adds a page, and says whether that changed the set. A page that the set cannot have is left out.
    pub fn insert(&mut self, page: u64) -> bool {
        self.change(page, |word, bit| word | bit)
    }

    /// Takes a page out, and says whether that changed the set.
    pub fn remove(&mut self, page: u64) -> bool {
        self.change(page, |word, bit| word & !bit)
    }

    /// Adds the pages of another set.
    pub fn add_all(&mut self, other: &Self) {
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            // A zero that is written would make the kernel give memory to it.
            if *more != 0 {
                *word |= more;
            }
        }
    }

    /// Keeps those pages only that another set has, too.
    pub fn keep_all(&mut self, other: &Self) {
        for (index, word) in self.words.iter_mut().enumerate() {
            if *word != 0 {
                *word &= other.words.get(index).copied().unwrap_or(0);
            }
        }
    }

    /// Takes the pages of another set out.
    pub fn remove_all(&mut self, other: &Self) {
        for (word, less) in self.words.iter_mut().zip(&other.words) {
            if *word & less != 0 {
                *word &= !less;
            }
        }
    }

    /// The number of pages that two sets have in common.
    pub fn count_common(&self, other: &Self) -> u64 {
        let common = self
            .words
            .iter()
            .zip(&other.words)
            .map(|(word, more)| word & more);
        common.map(|word| u64::from(word.count_ones())).sum()
    }

    /// Finds the first page of the set at or behind `page`.
    pub fn next(&self, page: u64) -> Option<u64> {
        let mut index = usize::try_from(page / 64).ok()?;
        let mut word = self.words.get(index)? & (u64::MAX << (page % 64));
        while word == 0 {
            index += 1;
            word = *self.words.get(index)?;
        }
        Some(index as u64 * 64 + u64::from(word.trailing_zeros()))
    }

    pub fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    fn word(&self, index: u64) -> u64 {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.words.get(index).copied().unwrap_or(0)
    }

    fn change(&mut self, page: u64, change: impl FnOnce(u64, u64) -> u64) -> bool {
        let index = usize::try_from(page / 64).unwrap_or(usize::MAX);
        match self.words.get_mut(index) {
            Some(word) if page < self.pages => {
                let before = std::mem::replace(word, change(*word, 1 << (page % 64)));
                *word != before
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::PageSet;

    proptest! {
        #[test]
        fn a_set_of_pages_is_a_set(pages in 1..300_u64, steps in prop::collection::vec((any::<bool>(), 0..320_u64), 0..80)) {
            let (mut set, mut oracle) = (PageSet::new(pages).unwrap(), BTreeSet::new());
            for (add, page) in steps {
                let changed = if add { set.insert(page) } else { set.remove(page) };
                let expected = if add { page < pages && oracle.insert(page) } else { oracle.remove(&page) };
                prop_assert_eq!(changed, expected);
            }
            prop_assert_eq!(set.count(), oracle.len() as u64);
            for page in 0..320 {
                prop_assert_eq!(set.contains(page), oracle.contains(&page));
                prop_assert_eq!(set.next(page), oracle.range(page..).next().copied());
            }
        }

        #[test]
        fn two_sets_meet_word_by_word(
            pages in 1..200_u64,
            one in prop::collection::btree_set(0..200_u64, 0..80),
            other in prop::collection::btree_set(0..200_u64, 0..80),
        ) {
            let of = |numbers: &BTreeSet<u64>| {
                let mut set = PageSet::new(pages).unwrap();
                let added: BTreeSet<u64> = numbers.iter().copied().filter(|page| set.insert(*page)).collect();
                (set, added)
            };
            let list = |set: &PageSet| (0..pages).filter(|page| set.contains(*page)).collect::<BTreeSet<_>>();
            let ((set, one), (other_set, other)) = (of(&one), of(&other));
            prop_assert_eq!(set.count_common(&other_set), one.intersection(&other).count() as u64);
            let changed = |change: fn(&mut PageSet, &PageSet)| {
                let mut changed = set.clone();
                change(&mut changed, &other_set);
                list(&changed)
            };
            prop_assert_eq!(changed(PageSet::add_all), &one | &other);
            prop_assert_eq!(changed(PageSet::keep_all), &one & &other);
            prop_assert_eq!(changed(PageSet::remove_all), &one - &other);
        }

        #[test]
        fn bits_behind_the_last_page_are_left_out(bytes in prop::collection::vec(any::<u8>(), 0..40), pages in 0..300_u64) {
            match PageSet::from_bytes("a bitmap", pages, &bytes) {
                Err(_) => prop_assert!((bytes.len() as u64) < pages.div_ceil(8)),
                Ok(set) => for page in 0..320_u64 {
                    let bit = page < pages && bytes[usize::try_from(page / 8).unwrap()] >> (page % 8) & 1 == 1;
                    prop_assert_eq!(set.contains(page), bit);
                },
            }
        }
    }
}
