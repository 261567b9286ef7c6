//! Serves the pages of a snapshot to a QEMU that restores it lazily. To QEMU this is the source of a postcopy migration:
//! the guest runs at once, and a page comes when the guest touches it, or a little later anyhow.
//!
//! ```text
//!  PageSource ── batches ──┬─ answers ─┬──────────────► second connection (preempt)
//!  (files, memory, …)      │           └─┐
//!                          └─ pushes ────┴────────────► main connection ─► QEMU
//!                                 requests ◄── return path ────────────────┘
//! ```
//!
//! [`serve`] runs on the thread that calls it until QEMU says that it has everything. [`Control`] is the way in for
//! others. The server has never heard of snapshots: the opening bytes and the places of pages are the caller's.
//!
//! Postcopy is a matter of Linux. Elsewhere [`serve`] is an error of the kind Unsupported.

#![cfg_attr(
    not(target_os = "linux"),
    allow(
        dead_code,
        reason = "options and controls are everywhere, and the server that uses them is not"
    )
)]

mod control;
mod latency;
mod options;
mod page_set;
mod report;
mod reworded;

#[cfg(target_os = "linux")]
mod account;
#[cfg(target_os = "linux")]
mod alarm;
#[cfg(target_os = "linux")]
mod batch;
#[cfg(all(test, target_os = "linux"))]
mod batch_tests;
#[cfg(target_os = "linux")]
mod bitmap_file;
#[cfg(target_os = "linux")]
mod block;
#[cfg(target_os = "linux")]
mod buffered_file;
#[cfg(target_os = "linux")]
mod channel;
#[cfg(target_os = "linux")]
mod connect;
#[cfg(target_os = "linux")]
mod direct_files;
#[cfg(all(test, target_os = "linux"))]
mod direct_files_tests;
#[cfg(target_os = "linux")]
mod in_memory;
#[cfg(target_os = "linux")]
mod layered_files;
#[cfg(target_os = "linux")]
mod layers;
#[cfg(target_os = "linux")]
mod messages;
#[cfg(target_os = "linux")]
mod push_order;
#[cfg(target_os = "linux")]
mod reads;
mod records;
#[cfg(target_os = "linux")]
mod serve;
#[cfg(target_os = "linux")]
mod server;
#[cfg(target_os = "linux")]
mod source;
#[cfg(target_os = "linux")]
mod watched;

#[cfg(target_os = "linux")]
pub use batch::{Batch, Run};
#[cfg(target_os = "linux")]
pub use bitmap_file::read_bitmap;
pub use control::{Control, ServeProgress};
#[cfg(target_os = "linux")]
pub use direct_files::DirectFiles;
#[cfg(target_os = "linux")]
pub use in_memory::{InMemory, Pages};
pub use latency::Quantiles;
#[cfg(target_os = "linux")]
pub use layered_files::LayeredFiles;
pub use options::{Layer, Push, ServeOptions, ServedBlock};
pub use page_set::PageSet;
pub use records::PAGE_SIZE;
pub use report::ServeReport;
#[cfg(target_os = "linux")]
pub use serve::serve;
#[cfg(target_os = "linux")]
pub use source::{PageSource, Reading};
