//! What the channels of one transfer share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::progress::{CancelToken, Progress};
use crate::error::{EngineError, ErrorKind, Result};
use crate::file::SnapshotFile;
use crate::memory::Memory;
use crate::pages::{AtomicBitmap, Bitmap};
use crate::plan::Direction;
use crate::queue::QueueOptions;

/// A region of the plan with everything open.
#[derive(Debug)]
pub(crate) struct OpenRegion {
    pub(crate) memory: Memory,
    pub(crate) memory_offset: u64,
    pub(crate) length: u64,
    pub(crate) pages_offset: u64,
    pub(crate) bitmap_offset: u64,
    pub(crate) store_zero_pages: bool,
    pub(crate) memory_is_zero: bool,
    /// Save: the pages written so far.
    pub(crate) written: AtomicBitmap,
    /// Load: the pages the snapshot has.
    pub(crate) bitmap: Bitmap,
}

impl OpenRegion {
    pub(crate) fn set_pages(&self, shared: &Shared, start: u64, length: u64) {
        self.written
            .set(start / shared.page_size..(start + length) / shared.page_size);
    }
}

/// A piece of a region: at most one request long, both ends at page boundaries.
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
    pub(crate) page_bytes: usize,
    pub(crate) queue_options: QueueOptions,
    pub(crate) progress: Arc<Progress>,
    pub(super) cancel: CancelToken,
    /// An error occurred: every channel winds up.
    pub(super) stop: AtomicBool,
    pub(super) first_error: Mutex<Option<EngineError>>,
    /// Channels that have not finished their pages.
    pub(super) unfinished: AtomicUsize,
    /// Where the next window starts: region and offset in it.
    pub(super) cursor: Mutex<(usize, u64)>,
}

impl Shared {
    /// An error when the transfer is to end: cancelled, or another channel failed.
    pub(crate) fn check_stop(&self) -> Result<()> {
        if self.cancel.is_cancelled() || self.stop.load(Ordering::Relaxed) {
            return Err(
                EngineError::new(ErrorKind::Cancelled, "the transfer was cancelled").on(&self.file.name),
            );
        }
        Ok(())
    }

    /// Keeps the first error and stops the others.
    pub(crate) fn fail(&self, error: EngineError) {
        self.first_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }

    /// True for the last channel that calls it.
    pub(crate) fn finish_pages(&self) -> bool {
        // Acquire-release: the last one sees all bits that the others have set.
        self.unfinished.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// The next piece of work. What is known to be zero without looking is stepped over.
    pub(crate) fn next_window(&self) -> Result<Option<Window>> {
        let mut cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(region) = self.regions.get(cursor.0) {
            let index = cursor.0;
            let position = cursor.1;
            let start = self.next_work(region, position);
            self.progress.count(start - position, 0);
            if start >= region.length {
                *cursor = (index + 1, 0);
                continue;
            }
            let window = self.queue_options.slot_size as u64;
            // Windows end at multiples of their size, so that requests of a dense block are all alike.
            let end = region.length.min((start / window + 1) * window);
            cursor.1 = end;
            return Ok(Some(Window {
                region: index,
                start,
                length: end - start,
            }));
        }
        Ok(None)
    }

    /// A length in bytes as a buffer's length.
    pub(crate) fn in_memory(&self, bytes: u64) -> Result<usize> {
        usize::try_from(bytes)
            .map_err(|_| EngineError::new(ErrorKind::Internal, "a window is larger than memory"))
    }

    fn next_work(&self, region: &OpenRegion, position: u64) -> u64 {
        if position >= region.length {
            return region.length;
        }
        let next = match self.direction {
            Direction::Save if region.store_zero_pages => Some(position),
            Direction::Save => region
                .memory
                .next_data(region.memory_offset + position)
                .map(|data| data.saturating_sub(region.memory_offset)),
            Direction::Load if region.memory_is_zero => region
                .bitmap
                .next_set(position / self.page_size)
                .map(|page| page * self.page_size),
            Direction::Load => Some(position),
        };
        let next = next.unwrap_or(region.length).clamp(position, region.length);
        next - next % self.page_size
    }
}
