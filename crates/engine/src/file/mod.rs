//! The snapshot file: its descriptors, what alignment direct I/O needs, and its durable publication.

mod alignment;
mod snapshot;
mod staged;

pub mod position;
pub mod reopen;

pub use alignment::{Alignment, direct_alignment, probe_directory};
pub use reopen::FileSource;
pub use snapshot::{DirectState, SnapshotFile, SnapshotSpec};
pub use staged::{Replace, StagedFile};
