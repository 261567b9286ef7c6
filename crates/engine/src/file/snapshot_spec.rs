//! The names by which a plan reaches a snapshot.

use std::path::PathBuf;
use std::sync::Arc;

use super::source::FileSource;
use super::storage::Storage;

#[derive(Debug, Clone)]
pub struct SnapshotSpec {
    pub source: SnapshotSource,
    /// A descriptor of the same file that the caller opened with O_DIRECT. Without it the file is opened again.
    pub direct: Option<FileSource>,
    /// Errors call the snapshot by this name; by its path or descriptor where the name is empty.
    pub name: String,
}

/// The place of a snapshot's bytes.
#[derive(Debug, Clone)]
pub enum SnapshotSource {
    File(FileSource),
    /// The caller's own storage. The `threads` engine drives it; direct I/O takes a file.
    Storage(Arc<dyn Storage>),
}

impl SnapshotSpec {
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self {
            source: SnapshotSource::File(FileSource::Path(path.into())),
            direct: None,
            name: String::new(),
        }
    }

    /// Says whether the snapshot is a local file, on which io_uring can work.
    pub(crate) fn is_file(&self) -> bool {
        match &self.source {
            SnapshotSource::File(_) => true,
            SnapshotSource::Storage(storage) => storage.file().is_some(),
        }
    }

    pub(crate) fn name(&self) -> String {
        match &self.source {
            _ if !self.name.is_empty() => self.name.clone(),
            SnapshotSource::File(file) => file.name(),
            SnapshotSource::Storage(_) => "the storage".to_owned(),
        }
    }
}
