//! Other platforms copy every window.

use std::ops::Range;

use super::windows::{OpenRegion, Shared, Window};
use crate::error::Result;
use crate::requests::Requests;

#[expect(clippy::unnecessary_wraps, reason = "it can fail on Linux")]
pub(super) fn lend(_: &OpenRegion, _: &Window, _: &mut Requests<'_>, _: usize) -> Result<bool> {
    Ok(false)
}

#[derive(Debug)]
pub(super) struct Look;

impl Look {
    pub(super) fn new(_: &[OpenRegion]) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "it learns on Linux")]
    pub(super) fn learn(&mut self, _: &Window, _: &[Range<usize>]) {}

    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "it looks on Linux")]
    pub(super) fn runs(
        &mut self,
        _: &Shared,
        _: &Window,
        _: &mut Requests<'_>,
        _: usize,
    ) -> Result<Option<Vec<Range<usize>>>> {
        Ok(None)
    }
}
