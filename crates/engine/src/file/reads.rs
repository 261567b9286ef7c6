//! The way of reads from a snapshot: past the page cache, or from it, by what it has of the pages that will be read.
//!
//! A direct read of pages that are not on the disk yet waits until they are there, and one of pages that are in memory
//! fetches them from the disk again. A buffered read of anything else costs a copy and fills the page cache.

use std::ops::Range;

use super::cache_share::{Pages, Share, unwritten};
use super::medium::{is_in_memory, queues_direct_requests};
use super::page_area::PageArea;
use super::page_cache::{PageCacheState, state_of};
use super::snapshot::SnapshotFile;
use crate::pages::Bitmap;

/// The bytes of a block at which one look is taken.
const STRETCH: u64 = 16 << 20;
/// The most looks at a dense file: the kernel walks all pages of a look, which takes a millisecond for some thousands
/// of looks. The others are evenly left out.
const MOST_LOOKS: u64 = 1024;

impl SnapshotFile {
    /// Looks at what the page cache has of the set pages, and chooses the way of the reads where the caller leaves it
    /// open.
    pub(crate) fn look<'a>(&mut self, blocks: impl Iterator<Item = (&'a PageArea, &'a Bitmap)>) {
        let share = self.share(blocks);
        self.pages = share.map_or(Pages::Unknown, Share::pages);
        if !self.is_open_choice || share == Some(Share::NONE) {
            return;
        }
        let why = &mut self.state.why;
        match (share, self.pages) {
            (Some(share), Pages::InMemory) => {
                *why = share.words();
                self.state.on = false;
                self.direct = None;
            }
            (Some(share), Pages::Mixed) => {
                *why = format!("{why}; {}, and reads of those are buffered", share.words());
            }
            (Some(share), _) => *why = format!("{why}, and {}", share.words()),
            (None, _) => *why = format!("{why}; what the page cache has of it is not known"),
        }
    }

    /// Says whether a read of these bytes of the file is better buffered, although there is direct I/O.
    pub(crate) fn is_better_buffered(&self, range: Range<u64>) -> bool {
        if !self.is_open_choice || self.pages != Pages::Mixed {
            return false;
        }
        self.state_of(range)
            .is_some_and(|state| unwritten(&state) > Some(0))
    }

    /// Says whether no disk has a part in reading the pages, or in writing them.
    pub(crate) fn is_in_memory(&self) -> bool {
        let is_cached = self.direct.is_none() && self.pages == Pages::InMemory;
        is_cached || self.has_no_disk()
    }

    /// Says whether requests go past the page cache, and are taken without a wait for the disk.
    pub(crate) fn queues_direct_requests(&self) -> bool {
        self.direct.as_ref().is_some_and(queues_direct_requests)
    }

    /// Says whether the file lies in memory, whatever is done with it.
    pub(crate) fn has_no_disk(&self) -> bool {
        self.buffered.file().is_some_and(is_in_memory)
    }

    /// `None` where nobody tells.
    fn share<'a>(&self, blocks: impl Iterator<Item = (&'a PageArea, &'a Bitmap)>) -> Option<Share> {
        let mut share = Share::NONE;
        for (area, bitmap) in blocks {
            let pages = STRETCH / area.page_size;
            let skipped = (bitmap.count() / pages / MOST_LOOKS) * pages;
            let mut page = 0;
            while let Some(first) = bitmap.next_set(page) {
                let end = (first + pages).min(area.pages());
                let set = bitmap
                    .runs(first..end)
                    .map(|run| run.end - run.start)
                    .sum::<u64>()
                    * area.page_size;
                let at = |page: u64| area.pages_offset + page * area.page_size;
                share.add(set, &self.state_of(at(first)..at(end))?);
                page = end + skipped;
            }
        }
        Some(share)
    }

    fn state_of(&self, range: Range<u64>) -> Option<PageCacheState> {
        state_of(self.buffered.file()?, range)
    }
}
