//! Zeros as many as a file asks for.

use bytemuck::Zeroable;

/// So many zeros, which take up memory once something else is written to them; `None` when there are too many.
pub(super) fn try_zeroed<T: Zeroable>(count: u64) -> Option<Vec<T>> {
    let count = usize::try_from(count).ok()?;
    bytemuck::allocation::try_zeroed_vec(count).ok()
}
