//! What every run of channels has, a transfer's or a comparison's: set-up, windows, threads, progress, end, report.

mod channels;
mod ending;
mod progress;
mod report;
mod setup;
mod window;

pub(crate) use channels::run_channels;
pub(crate) use ending::Ending;
pub use progress::Progress;
pub use report::Report;
pub(crate) use setup::Setup;
pub(crate) use window::{in_memory, merge};
