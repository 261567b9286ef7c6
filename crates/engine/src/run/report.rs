//! The report of a finished run.

use std::time::Duration;

use crate::file::DirectState;
use crate::queue::{IoEngineState, RequestCounts};

/// The outcome of a run, in numbers, and the choices that it made.
#[derive(Debug, Clone)]
pub struct Report {
    pub io_engine: IoEngineState,
    pub direct_io: DirectState,
    pub channels: usize,
    pub queue_depth: usize,
    pub request_size: usize,
    /// The guest memory that the run covered, in bytes.
    pub bytes: u64,
    /// The bytes of pages that were written or read; the other bytes were zero pages.
    pub data_bytes: u64,
    /// The requests of all channels.
    pub counts: RequestCounts,
    pub elapsed: Duration,
}
