//! The progress of a run: counters that anybody may read at any time.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters in bytes of guest memory. They only grow, and are relaxed, since nothing is ordered by them.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicU64,
    done: AtomicU64,
    data: AtomicU64,
}

impl Progress {
    pub(crate) fn set_total(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
    }

    /// Counts a piece of guest memory, `data` bytes of which were not zero pages.
    pub(crate) fn count(&self, bytes: u64, data: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
        self.data.fetch_add(data, Ordering::Relaxed);
    }

    /// The bytes of guest memory that the run covers.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// The bytes of guest memory dealt with so far, zero pages included.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// The bytes of pages that were read from or written to the snapshot.
    pub fn data(&self) -> u64 {
        self.data.load(Ordering::Relaxed)
    }
}
