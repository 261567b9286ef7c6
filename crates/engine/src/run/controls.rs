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
