//! A batch on its way through the threads that fill it in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mapped_ram_engine::error::Result;
use mapped_ram_engine::{EngineError, ErrorKind};
use tokio::sync::oneshot::Sender;

use crate::batch::Batch;
use crate::records::{PAGE_BYTES, PAGE_SIZE};

/// The batch goes back when the last of its parts is gone, whichever way: filled in, failed, or never begun.
#[derive(Debug)]
pub(super) struct Errand {
    state: Mutex<State>,
    /// Somebody waits for it, so that it goes before others.
    pub(super) urgent: bool,
}

#[derive(Debug)]
struct State {
    batch: Option<Batch>,
    /// Pages that are not filled in.
    missing: u64,
    failure: Option<EngineError>,
    answer: Option<Sender<(Batch, Result<()>)>>,
}

/// Pages of an errand that follow each other in a file.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) errand: Arc<Errand>,
    pub(super) offset: u64,
    /// The number of the first page in its block.
    pub(super) first: u64,
    pub(super) pages: u64,
}

impl Errand {
    pub(super) fn new(batch: Batch, answer: Sender<(Batch, Result<()>)>) -> Self {
        Self {
            urgent: batch.asked.is_some(),
            state: Mutex::new(State {
                missing: batch.content_pages(),
                batch: Some(batch),
                failure: None,
                answer: Some(answer),
            }),
        }
    }

    /// True when nobody waits for the batch, and when it has failed already.
    pub(super) fn is_over(&self) -> bool {
        let state = self.state();
        state.failure.is_some() || state.answer.as_ref().is_none_or(Sender::is_closed)
    }

    /// Fails the batch. The first failure is the one that is told.
    pub(super) fn fail(&self, error: EngineError) {
        self.state().failure.get_or_insert(error);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        let mut state = self.state();
        let failure = state.failure.take();
        if let (Some(batch), Some(answer)) = (state.batch.take(), state.answer.take()) {
            let result = match failure {
                Some(error) => Err(error),
                None if state.missing == 0 => Ok(()),
                None => Err(EngineError::new(ErrorKind::Internal, "pages were left out")),
            };
            // Whoever has given the read up does not listen.
            let _ = answer.send((batch, result));
        }
    }
}

impl Part {
    pub(super) fn bytes(&self) -> u64 {
        self.pages * PAGE_SIZE
    }

    pub(super) fn end(&self) -> u64 {
        self.offset + self.bytes()
    }

    /// Cuts off what is behind so many pages, if there is anything.
    pub(super) fn split_off(&mut self, pages: u64) -> Option<Self> {
        let rest = self.pages.checked_sub(pages).filter(|rest| *rest > 0)?;
        self.pages = pages;
        Some(Self {
            errand: Arc::clone(&self.errand),
            offset: self.end(),
            first: self.first + pages,
            pages: rest,
        })
    }

    /// Copies the pages to their places.
    pub(super) fn fill(&self, bytes: &[u8]) {
        let mut state = self.errand.state();
        let state = &mut *state;
        let Some(batch) = &mut state.batch else {
            return;
        };
        for (page, bytes) in (self.first..).zip(bytes.chunks_exact(PAGE_BYTES)) {
            if let Some(slot) = batch.slot(page) {
                slot.copy_from_slice(bytes);
                state.missing = state.missing.saturating_sub(1);
            }
        }
    }
}
