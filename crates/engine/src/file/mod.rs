//! Snapshots as files or other storages: their descriptors, their alignment, the places of blocks in them, and their
//! durable publication.

mod abandoned_partials;
mod alignment;
mod bitmap;
mod cache_share;
mod clear;
mod clone;
pub(crate) mod extents;
mod identity;
mod length;
mod lock;
mod medium;
mod page_area;
mod page_cache;
mod paths;
mod read_ahead;
mod reads;
mod replaceable;
#[cfg(target_os = "linux")]
pub(crate) mod residency;
mod snapshot;
mod snapshot_spec;
mod staged;
mod stale_pages;
mod storage;

pub(crate) mod positional;
pub mod source;

pub use abandoned_partials::remove_abandoned;
pub use alignment::{Alignment, direct_alignment, probe_directory};
pub(crate) use bitmap::read_bitmap;
pub use clone::{Cloned, clone_file};
pub(crate) use identity::Identity;
pub use lock::{Lock, Locked, lock};
pub use page_area::PageArea;
pub(crate) use page_area::{check_apart, check_page_size, check_range, page_size_of};
pub use page_cache::{PageCacheSource, PageCacheState, drop_page_cache, page_cache_state};
pub use read_ahead::read_ahead;
pub use snapshot::{DirectState, SnapshotFile};
pub use snapshot_spec::{SnapshotSource, SnapshotSpec};
pub use source::FileSource;
pub use staged::{Replace, StagedFile};
pub use stale_pages::{StalePages, stale_pages};
pub use storage::Storage;
