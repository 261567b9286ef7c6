//! What a transfer and a comparison have in common before their channels run and after.

use std::time::Instant;

use super::progress::Progress;
use super::report::Report;
use crate::file::DirectState;
use crate::queue::{EngineState, QueueOptions};
use crate::tuning::Tuning;

/// How many channels there are to be, with which queues, for how many bytes.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) channels: usize,
    /// What queues are to be made with; they may have fewer slots.
    pub(crate) options: QueueOptions,
    started: Instant,
    /// Of all blocks.
    bytes: u64,
}

impl Setup {
    /// For blocks of these lengths; `with_rings` when io_uring can work on every snapshot. The progress learns how much there is to do.
    pub(crate) fn new(
        started: Instant,
        tuning: &Tuning,
        lengths: impl Iterator<Item = u64> + Clone,
        with_rings: bool,
        progress: &Progress,
    ) -> Self {
        let bytes = lengths.clone().sum();
        progress.set_total(bytes);
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
        }
    }

    /// The options of queues as they were made.
    pub(crate) fn options_of(&self, engine: &EngineState) -> QueueOptions {
        QueueOptions {
            slots: engine.slots,
            ..self.options
        }
    }

    /// When all channels have come to their end.
    pub(crate) fn report(self, engine: EngineState, direct_io: DirectState, progress: &Progress) -> Report {
        Report {
            engine,
            direct_io,
            channels: self.channels,
            queue_depth: self.options.depth,
            request_size: self.options.slot_size,
            bytes: self.bytes,
            data_bytes: progress.data(),
            elapsed: self.started.elapsed(),
        }
    }
}
