//! What is decided of a run before its queues are made.

use std::time::Instant;

use super::controls::Controls;
use super::state::RunState;
use crate::queue::{EngineState, QueueOptions};
use crate::tuning::Tuning;

/// How many channels there are to be, with which queues, for how many bytes.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) channels: usize,
    /// What queues are to be made with; they may have fewer slots.
    pub(crate) options: QueueOptions,
    pub(super) started: Instant,
    /// Of all blocks.
    pub(super) bytes: u64,
    pub(super) controls: Controls,
}

impl Setup {
    /// For blocks of these lengths; `with_rings` when io_uring can work on every snapshot. The progress learns how much
    /// there is to do.
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

    /// The run, with queues that were made by `engine`.
    pub(crate) fn begin(self, engine: EngineState) -> RunState {
        RunState::new(self, engine)
    }
}
