//! The early end of a run: how its channels learn of it, and the first error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::cancel::CancelToken;
use crate::error::{EngineError, ErrorKind, Result};

#[derive(Debug)]
pub(super) struct Ending {
    cancel: CancelToken,
    /// True once an error occurred: every channel winds up.
    stop: AtomicBool,
    first_error: Mutex<Option<EngineError>>,
}

impl Ending {
    pub(super) fn new(cancel: CancelToken) -> Self {
        Self {
            cancel,
            stop: AtomicBool::new(false),
            first_error: Mutex::new(None),
        }
    }

    /// Returns an error when the run is to end: the caller cancelled it, or another channel failed.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        if self.cancel.is_cancelled() || self.stop.load(Ordering::Relaxed) {
            return Err(EngineError::new(ErrorKind::Cancelled, "the transfer was cancelled").on(name));
        }
        Ok(())
    }

    /// Keeps the first error and stops the others.
    pub(super) fn fail(&self, error: EngineError) {
        self.first_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_error(&self) -> Option<EngineError> {
        self.first_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}
