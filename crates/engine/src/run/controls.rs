//! The controls of a run, which a caller keeps while it goes.

use std::sync::Arc;

use super::progress::Progress;
use crate::cancel::CancelToken;

/// The means to end a run early, and its counters. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Controls {
    pub cancel: CancelToken,
    pub progress: Arc<Progress>,
}

impl Controls {
    /// Makes the controls of a run on blocks of these lengths, in bytes. The counters know the total from the start, so
    /// that an early look sees no other total. The lengths may be unchecked.
    pub(crate) fn new(lengths: impl Iterator<Item = u64>) -> Self {
        let controls = Self::default();
        controls.progress.set_total(lengths.fold(0, u64::saturating_add));
        controls
    }
}
