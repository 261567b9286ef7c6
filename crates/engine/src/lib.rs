//! Moves guest memory between where a guest's RAM lives and a mapped-ram snapshot file.
//!
//! ```text
//!            Plan (plain data: regions, offsets, channels)
//!              │ checked whole before the first byte moves
//!              ▼
//!   transfer ──┬── channel 0 ── queue (io_uring │ threads) ──┐
//!              ├── channel 1 ── queue ───────────────────────┼── snapshot file (buffered + O_DIRECT descriptor)
//!              └── channel n ── queue ───────────────────────┘
//!                     │
//!                     └── memory (files, descriptors, buffers, processes), pages (bitmap, zero scan)
//! ```
//!
//! A comparison has a queue for each of two snapshot files in every channel.
//!
//! The engine knows descriptors, offsets, pages and bitmaps. It has never heard of Node, QMP or section headers.

pub mod compare;
#[cfg(feature = "counted")]
#[doc(hidden)]
pub mod counted;
pub mod digest;
pub mod error;
pub mod file;
pub mod memory;
pub mod pages;
pub mod process;
pub mod queue;
pub mod socket;
pub mod transfer;
pub mod tuning;
pub mod userfaultfd;

mod arena;
mod cancel;
mod choices;
#[cfg(unix)]
mod descriptor;
mod mapping;
mod requests;
mod run;

pub use cancel::CancelToken;
pub use choices::{DirectIo, IoEngine};
pub use compare::{ComparePlan, CompareReport, Compared, Comparison};
pub use error::{EngineError, ErrorKind};
pub use run::{Controls, Progress, Report};
pub use transfer::{BaseBits, Direction, Only, Pages, Plan, Region, Transfer, Visitor};
pub use tuning::Tuning;
