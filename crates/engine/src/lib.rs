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
//!                     └── memory (files, descriptors, buffers), pages (bitmap, zero scan)
//! ```
//!
//! The engine knows descriptors, offsets, pages and bitmaps. It has never heard of Node, QMP or section headers.

pub mod digest;
pub mod error;
pub mod file;
pub mod memory;
pub mod pages;
pub mod plan;
pub mod queue;
pub mod socket;
pub mod transfer;
pub mod userfaultfd;

mod channel;

pub use error::{EngineError, ErrorKind};
pub use plan::{DirectIo, Direction, EngineChoice, Plan, Region};
pub use transfer::{CancelToken, Pages, Progress, Report, Transfer, Visitor};
