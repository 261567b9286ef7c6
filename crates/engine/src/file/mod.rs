//! The snapshot file: its descriptors, what alignment direct I/O needs, and its durable publication.

mod abandoned;
mod alignment;
pub(crate) mod extents;
mod lock;
mod snapshot;
mod staged;
mod stale;

pub mod position;
pub mod reopen;

pub use abandoned::remove_abandoned;
pub use alignment::{Alignment, direct_alignment, probe_directory};
pub use lock::{Lock, Locked, lock};
pub use reopen::FileSource;
pub use snapshot::{DirectState, SnapshotFile, SnapshotSpec};
pub use staged::{Replace, StagedFile};
pub(crate) use stale::read_bitmap;
pub use stale::{PageArea, StalePages, stale_pages};
