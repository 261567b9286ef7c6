//! What a finished run says of itself.

use std::time::Duration;

use crate::file::DirectState;
use crate::queue::EngineState;

/// What a finished transfer says of itself.
#[derive(Debug, Clone)]
pub struct Report {
    pub engine: EngineState,
    pub direct_io: DirectState,
    pub channels: usize,
    pub queue_depth: usize,
    pub request_size: usize,
    /// Guest memory covered, in bytes.
    pub bytes: u64,
    /// Bytes of pages that were written or read; the rest were zero pages.
    pub data_bytes: u64,
    pub elapsed: Duration,
}
