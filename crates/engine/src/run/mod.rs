//! The parts that every run of channels has, a transfer's or a comparison's: set-up, windows, threads, progress, end,
//! report.

mod channels;
mod controls;
mod ending;
mod progress;
mod report;
mod setup;
mod state;
mod window;

pub use controls::Controls;
pub use progress::Progress;
pub use report::Report;
pub(crate) use setup::Setup;
pub(crate) use state::RunState;
pub(crate) use window::{in_memory, merge, set_runs};
