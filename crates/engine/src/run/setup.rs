//! The decisions about a run that come before its queues are made.

use std::time::Instant;

use super::controls::Controls;
use crate::queue::QueueOptions;
use crate::tuning::{Tuning, Work};

/// The number of channels, and the options of their queues.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) channels: usize,
    /// The options for making queues, which may come with fewer slots.
    pub(crate) options: QueueOptions,
    pub(super) started: Instant,
    pub(super) controls: Controls,
}

impl Setup {
    /// Decides for blocks of these lengths.
    pub(crate) fn new(
        started: Instant,
        tuning: &Tuning,
        lengths: impl Iterator<Item = u64>,
        work: Work,
        controls: Controls,
    ) -> Self {
        let channels = tuning.channels(lengths, work);
        let options = QueueOptions {
            depth: tuning.queue_depth,
            slots: tuning.slots_of(channels, work.bound),
            slot_size: tuning.request_size,
        };
        Self {
            channels,
            options,
            started,
            controls,
        }
    }
}
