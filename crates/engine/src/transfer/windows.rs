//! The windows that the channels of one transfer take in turn, and the state that they share.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::plan::Direction;
use super::visitor::{Pages, Visitor};
use crate::error::Result;
use crate::file::{PageArea, SnapshotFile};
#[cfg(target_os = "linux")]
use crate::memory::InPlace;
use crate::memory::Memory;
use crate::pages::{AtomicBitmap, Bitmap};
use crate::run::RunState;

/// A region of the plan with everything open.
#[derive(Debug)]
pub(crate) struct OpenRegion {
    pub(crate) memory: Memory,
    /// The memory as it lies, where the kernel may move bytes from or to it.
    #[cfg(target_os = "linux")]
    pub(super) in_place: Option<InPlace>,
    pub(crate) memory_offset: u64,
    pub(crate) area: PageArea,
    pub(crate) store_zero_pages: bool,
    pub(crate) memory_is_zero: bool,
    /// The other pages of a save stay in the snapshot as they are.
    pub(crate) is_limited: bool,
    /// The pages that a save reads, where it is known before; it takes the others for zeros, or leaves them alone.
    pub(crate) mask: Option<Bitmap>,
    /// The pages that a save has written so far.
    pub(crate) written: AtomicBitmap,
    /// The pages that the snapshot has, for a load and a scan.
    pub(crate) bitmap: Bitmap,
}

impl OpenRegion {
    /// The bytes that have to be looked at, for the number of channels. A block has some, because a channel writes its
    /// bitmap.
    pub(super) fn work(&self) -> u64 {
        let Self { area, mask, .. } = self;
        let masked = mask.as_ref().map(|mask| mask.count().max(1) * area.page_size);
        masked.map_or(area.length, |bytes| bytes.min(area.length))
    }

    pub(crate) fn set_pages(&self, shared: &Shared, start: u64, length: u64) {
        self.written
            .set(start / shared.page_size..(start + length) / shared.page_size);
    }
}

/// A piece of a region: at most one request long, both ends at multiples of the transfer's unit or at the region's end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) region: usize,
    pub(crate) start: u64,
    pub(crate) length: u64,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) direction: Direction,
    pub(crate) file: Arc<SnapshotFile>,
    pub(crate) regions: Vec<OpenRegion>,
    pub(crate) page_size: u64,
    /// The unit of windows: a page, or what the visitor asks for. Windows start at multiples of it, and end at one or
    /// at their region's end.
    pub(crate) unit: u64,
    pub(super) visitor: Option<Arc<dyn Visitor>>,
    pub(crate) page_bytes: usize,
    pub(crate) run: RunState,
    /// The number of channels that have not finished their pages.
    pub(super) unfinished: AtomicUsize,
    /// The place where the next window starts.
    pub(super) cursor: Mutex<Cursor>,
}

#[derive(Debug, Default)]
pub(crate) struct Cursor {
    region: usize,
    /// The offset in the region.
    position: u64,
    /// A save knows the region to be data up to here, so that it looks a long stretch up once and not for each window.
    data_end: u64,
}

impl Shared {
    /// Returns an error when the transfer is to end: the caller cancelled it, or another channel failed.
    pub(crate) fn check_stop(&self) -> Result<()> {
        self.run.check_stop(&self.file.name)
    }

    /// Returns true to the last channel that calls it.
    pub(crate) fn finish_pages(&self) -> bool {
        // The ordering lets the last channel see all bits that the others have set.
        self.unfinished.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Takes the next window. Memory that is known to be zero without a look is stepped over.
    pub(crate) fn next_window(&self) -> Result<Option<Window>> {
        let mut cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(region) = self.regions.get(cursor.region) {
            let position = cursor.position;
            let work = if position < cursor.data_end {
                position..cursor.data_end
            } else {
                self.next_work(region, position)
            };
            self.run.progress.count(work.start - position, 0);
            if work.start >= region.area.length {
                *cursor = Cursor {
                    region: cursor.region + 1,
                    ..Cursor::default()
                };
                continue;
            }
            let end = self.run.options.window_end(work.start).min(work.end);
            cursor.position = end;
            if self.direction == Direction::Save && region.mask.is_none() {
                cursor.data_end = work.end;
            }
            return Ok(Some(Window {
                region: cursor.region,
                start: work.start,
                length: end - work.start,
            }));
        }
        Ok(None)
    }

    /// Shows the visitor a window that has been read.
    pub(crate) fn visit(&self, window: &Window, bytes: &[u8], runs: &[Range<usize>]) -> Result<()> {
        let Some(visitor) = &self.visitor else {
            return Ok(());
        };
        visitor.visit(&Pages {
            region: window.region,
            start: window.start,
            page_size: self.page_bytes,
            bytes,
            runs,
        })
    }

    /// Finds the next stretch to look at, in whole units; an empty one at the region's end.
    fn next_work(&self, region: &OpenRegion, position: u64) -> Range<u64> {
        if position >= region.area.length {
            return region.area.length..region.area.length;
        }
        let from = |bitmap: &Bitmap| {
            let set = bitmap.next_set(position / self.page_size);
            set.map_or(region.area.length, |page| page * self.page_size)..region.area.length
        };
        let found = match (self.direction, &region.mask) {
            (_, Some(mask)) => from(mask),
            (Direction::Save, None) if region.store_zero_pages => position..region.area.length,
            (Direction::Save, None) => {
                let data = region.memory.next_data(region.memory_offset + position);
                data.start.saturating_sub(region.memory_offset)..data.end.saturating_sub(region.memory_offset)
            }
            (Direction::Load, None) if !region.memory_is_zero => position..region.area.length,
            (Direction::Load | Direction::Scan, None) => from(&region.bitmap),
        };
        let start = found.start.clamp(position, region.area.length);
        if start == region.area.length {
            return start..start;
        }
        let start = start - start % self.unit;
        // The stretch has a page at the least: data that has become a hole meanwhile reads as zeros.
        let end = found.end.clamp(start + 1, region.area.length);
        start..end.next_multiple_of(self.unit).min(region.area.length)
    }
}
