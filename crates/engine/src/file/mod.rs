//! The snapshot file: its descriptors, what alignment direct I/O needs, and its durable publication.

mod abandoned;
mod alignment;
pub(crate) mod extents;
mod lock;
mod page_area;
mod snapshot;
mod staged;
mod stale;

pub mod position;
pub mod reopen;

pub use abandoned::remove_abandoned;
pub use alignment::{Alignment, direct_alignment, probe_directory};
pub use lock::{Lock, Locked, lock};
pub use page_area::PageArea;
pub(crate) use page_area::read_bitmap;
pub use reopen::FileSource;
pub use snapshot::{DirectState, SnapshotFile, SnapshotSpec};
pub use staged::{Replace, StagedFile};
pub use stale::{StalePages, stale_pages};
