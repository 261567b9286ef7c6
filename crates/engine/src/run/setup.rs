//! The decisions about a run that come before its queues are made.

use std::time::Instant;

use super::controls::Controls;
use super::state::RunState;
use crate::queue::{EngineState, QueueOptions};
use crate::tuning::Tuning;

/// The number of channels, the options of their queues, and the bytes that they are to move.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) channels: usize,
    /// The options for making queues, which may come with fewer slots.
    pub(crate) options: QueueOptions,
    pub(super) started: Instant,
    /// The length of all blocks together.
    pub(super) bytes: u64,
    pub(super) controls: Controls,
}

impl Setup {
    /// Decides for blocks of these lengths. `with_rings` says that io_uring can work on every snapshot. The progress
    /// learns how much there is to do.
    pub(crate) fn new(
        started: Instant,
        tuning: &Tuning,
        lengths: impl Iterator<Item = u64> + Clone,
        with_rings: bool,
        controls: Controls,
    ) -> Self {
        let bytes = lengths.clone().sum();
        controls.progress.set_total(bytes);
        let options = QueueOptions {
            depth: tuning.queue_depth,
            slots: tuning.slots(),
            slot_size: tuning.request_size,
        };
        Self {
            channels: tuning.channels(lengths, with_rings),
            options,
            started,
            bytes,
            controls,
        }
    }

    /// Begins the run, whose queues `engine` has made.
    pub(crate) fn begin(self, engine: EngineState) -> RunState {
        RunState::new(self, engine)
    }
}
