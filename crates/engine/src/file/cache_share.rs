//! How much of a snapshot's pages is in the page cache, and what that means for reading them.

use super::page_cache::PageCacheState;

/// What the page cache has of the pages that will be read, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) looked_at: u64,
    cached: u64,
    /// The part that is not on the disk yet; `None` where nobody tells.
    unwritten: Option<u64>,
}

/// What is known about the pages before they are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Pages {
    #[default]
    Unknown,
    /// On the disk. Some may be in the page cache, too: fetching them once more costs less than two ways in turns.
    OnDisk,
    /// In the page cache, nearly all.
    InMemory,
    /// Some on the disk, some in the page cache only.
    Mixed,
}

impl Share {
    /// Nothing looked at.
    pub(super) const NONE: Self = Self {
        looked_at: 0,
        cached: 0,
        unwritten: Some(0),
    };

    pub(super) fn add(&mut self, set: u64, state: &PageCacheState) {
        self.looked_at += set;
        // The holes between the pages may be in the page cache too, which says nothing about the pages.
        self.cached += state.cached.min(set);
        self.unwritten = match (self.unwritten, unwritten(state)) {
            (Some(sum), Some(found)) => Some(sum + found.min(set)),
            _ => None,
        };
    }

    pub(super) fn pages(self) -> Pages {
        let few = self.looked_at / 16;
        if self.cached >= self.looked_at - few {
            Pages::InMemory
        } else if self.unwritten > Some(0) {
            Pages::Mixed
        } else {
            Pages::OnDisk
        }
    }

    pub(super) fn words(self) -> String {
        let percent = |bytes: u64| u128::from(bytes) * 100 / u128::from(self.looked_at.max(1));
        let cached = format!("{} % of its pages are in the page cache", percent(self.cached));
        match self.unwritten {
            Some(0) => cached,
            Some(unwritten) => format!("{cached}, {} % not yet on the disk", percent(unwritten)),
            None => format!("{cached}, and nobody tells how many are not yet on the disk"),
        }
    }
}

pub(super) fn unwritten(state: &PageCacheState) -> Option<u64> {
    Some(state.dirty? + state.writeback?)
}

#[cfg(test)]
mod tests {
    use super::{Pages, Share};

    fn share(cached: u64, unwritten: Option<u64>) -> Share {
        Share {
            looked_at: 1600,
            cached,
            unwritten,
        }
    }

    #[test]
    fn some_cached_pages_change_nothing_unless_they_are_unwritten() {
        assert_eq!(share(0, Some(0)).pages(), Pages::OnDisk);
        assert_eq!(share(100, None).pages(), Pages::OnDisk);
        assert_eq!(share(100, Some(1)).pages(), Pages::Mixed);
        assert_eq!(share(1499, Some(0)).pages(), Pages::OnDisk);
        assert_eq!(share(1499, None).pages(), Pages::OnDisk);
        assert_eq!(share(1500, Some(0)).pages(), Pages::InMemory);
    }

    #[test]
    fn the_words_say_what_was_seen() {
        assert_eq!(
            share(1480, Some(1409)).words(),
            "92 % of its pages are in the page cache, 88 % not yet on the disk"
        );
        assert_eq!(
            share(16, Some(0)).words(),
            "1 % of its pages are in the page cache"
        );
        assert!(share(16, None).words().contains("nobody tells"));
    }
}
