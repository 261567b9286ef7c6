//! How a plan names a snapshot.

use std::path::PathBuf;
use std::sync::Arc;

use super::source::FileSource;
use super::storage::Storage;

#[derive(Debug, Clone)]
pub struct SnapshotSpec {
    pub source: SnapshotSource,
    /// A descriptor of the same file that the caller opened with O_DIRECT. Without it the file is opened again.
    pub direct: Option<FileSource>,
    /// How errors call the snapshot; the path or descriptor where empty.
    pub name: String,
}

/// Where a snapshot's bytes are.
#[derive(Debug, Clone)]
pub enum SnapshotSource {
    File(FileSource),
    /// Whatever the caller keeps them in. The `threads` engine drives it; direct I/O takes a file.
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

    /// Whether io_uring can work on it.
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
