//! The windows that the channels of one comparison take in turn, and the state that they share.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::file::{PageArea, SnapshotFile};
use crate::memory::Memory;
use crate::pages::{Bitmap, Differences};
use crate::run::RunState;

/// A block in an open snapshot.
#[derive(Debug)]
pub(crate) struct OpenPages {
    pub(crate) area: PageArea,
    pub(crate) bitmap: Bitmap,
}

#[derive(Debug)]
pub(crate) enum OpenRight {
    Pages(OpenPages),
    Memory { memory: Memory, offset: u64 },
}

#[derive(Debug)]
pub(crate) struct OpenBlock {
    pub(crate) left: OpenPages,
    pub(crate) right: OpenRight,
    pub(crate) differences: Differences,
}

impl OpenBlock {
    /// The right side, where it is pages of a snapshot.
    pub(super) fn right_pages(&self) -> Option<(&PageArea, &Bitmap)> {
        match &self.right {
            OpenRight::Pages(pages) => Some((&pages.area, &pages.bitmap)),
            OpenRight::Memory { .. } => None,
        }
    }
}

/// A piece of a block: at most one request long, both ends at page boundaries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) block: usize,
    pub(crate) start: u64,
    pub(crate) length: u64,
    /// True when the right side is memory and has a hole there, which is zero without a read.
    pub(crate) is_hole: bool,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) left: Arc<SnapshotFile>,
    pub(crate) right: Option<Arc<SnapshotFile>>,
    pub(crate) blocks: Vec<OpenBlock>,
    pub(crate) page_size: u64,
    pub(crate) run: RunState,
    /// The place where the next window starts.
    pub(super) cursor: Mutex<Cursor>,
}

#[derive(Debug, Default)]
pub(super) struct Cursor {
    block: usize,
    /// The offset in the block.
    position: u64,
    /// A stretch of the right memory that may hold data, behind the offset at which the search for it began. So a long
    /// stretch is looked up once and not for each window.
    data: Option<(u64, Range<u64>)>,
}

impl Shared {
    /// Returns an error when the comparison is to end: the caller cancelled it, or another channel failed.
    pub(crate) fn check_stop(&self) -> Result<()> {
        self.run.check_stop(&self.left.name)
    }

    /// Takes the next window in which a page has to be read. A stretch in which both sides are known to be zero is
    /// stepped over.
    pub(crate) fn next_window(&self) -> Option<Window> {
        let mut cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(block) = self.blocks.get(cursor.block) {
            let position = cursor.position;
            let data = self.next_data(block, &mut cursor);
            let start = self.next_set(&block.left, position).min(data.start);
            if start >= block.left.area.length {
                self.run.progress.count(block.left.area.length - position, 0);
                *cursor = Cursor {
                    block: cursor.block + 1,
                    ..Cursor::default()
                };
                continue;
            }
            self.run.progress.count(start - position, 0);
            let end = self.run.options.window_end(start).min(block.left.area.length);
            cursor.position = end;
            return Some(Window {
                block: cursor.block,
                start,
                length: end - start,
                is_hole: matches!(block.right, OpenRight::Memory { .. }) && data.start >= end,
            });
        }
        None
    }

    /// Finds the start of the first set page at or after `position`; the largest offset where there is none.
    fn next_set(&self, pages: &OpenPages, position: u64) -> u64 {
        let page = pages.bitmap.next_set(position / self.page_size);
        page.map_or(u64::MAX, |page| page * self.page_size)
    }

    /// Finds the next stretch of the block, in whole pages, that may not be zero on the right. Only its start counts
    /// where the right side is pages.
    fn next_data(&self, block: &OpenBlock, cursor: &mut Cursor) -> Range<u64> {
        let position = cursor.position;
        match &block.right {
            OpenRight::Pages(pages) => self.next_set(pages, position)..u64::MAX,
            OpenRight::Memory { .. } if position >= block.left.area.length => u64::MAX..u64::MAX,
            OpenRight::Memory { memory, offset } => {
                if let Some((asked, data)) = &cursor.data
                    && (*asked..data.end).contains(&position)
                {
                    return data.start.max(position)..data.end;
                }
                let found = memory.next_data(offset + position);
                let start = found.start.saturating_sub(*offset).max(position);
                let end = found.end.saturating_sub(*offset).max(start + 1);
                let data = start - start % self.page_size..end;
                cursor.data = Some((position, data.clone()));
                data
            }
        }
    }
}
