//! The state of one run of channels, whatever they do: all of them share it, and it makes the report at the end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::channels::run_channels;
use super::ending::Ending;
use super::progress::Progress;
use super::report::Report;
use super::setup::Setup;
use crate::error::Result;
use crate::file::DirectState;
use crate::queue::{IoEngineState, QueueOptions, RequestCounts};

#[derive(Debug)]
pub(crate) struct RunState {
    /// The options of the queues as they were made.
    pub(crate) options: QueueOptions,
    pub(crate) progress: Arc<Progress>,
    ending: Ending,
    io_engine: IoEngineState,
    channels: usize,
    counts: Mutex<RequestCounts>,
    started: Instant,
}

impl RunState {
    /// Begins the run, whose queues `io_engine` has made.
    pub(crate) fn begin(setup: Setup, io_engine: IoEngineState) -> Self {
        let options = QueueOptions {
            slots: io_engine.slots,
            ..setup.options
        };
        Self {
            options,
            progress: setup.controls.progress,
            ending: Ending::new(setup.controls.cancel),
            io_engine,
            channels: setup.channels,
            counts: Mutex::default(),
            started: setup.started,
        }
    }

    /// Returns an error when the run is to end: the caller cancelled it, or another channel failed. The error is on the
    /// snapshot `name`.
    pub(crate) fn check_stop(&self, name: &str) -> Result<()> {
        self.ending.check(name)
    }

    /// Runs all channels to their end, each on a thread of its own.
    /// # Errors
    /// the first one that a channel met
    pub(crate) fn run<T: Send>(
        &self,
        name: &str,
        channels: Vec<T>,
        channel: impl Fn(T) -> Result<()> + Sync,
    ) -> Result<()> {
        run_channels(&self.ending, name, channels, channel)
    }

    /// Counts the requests of a channel that has come to its end.
    pub(crate) fn count(&self, requests: RequestCounts) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) += requests;
    }

    /// Makes the report, when all channels have come to their end.
    pub(crate) fn report(&self, direct_io: DirectState) -> Report {
        Report {
            io_engine: self.io_engine.clone(),
            direct_io,
            channels: self.channels,
            queue_depth: self.options.depth,
            request_size: self.options.slot_size,
            bytes: self.progress.total(),
            data_bytes: self.progress.data(),
            counts: *self.counts.lock().unwrap_or_else(PoisonError::into_inner),
            elapsed: self.started.elapsed(),
        }
    }
}
