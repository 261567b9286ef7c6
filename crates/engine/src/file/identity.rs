//! The identity of a file: it tells whether two descriptors or names lead to the same one.

use std::fs::{File, Metadata};

/// A file's device and inode, which are the same whichever way the file is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    #[cfg(unix)]
    pub(crate) fn of(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// Stable std shows no identity on other platforms.
    #[cfg(not(unix))]
    pub(crate) fn of(_metadata: &Metadata) -> Option<Self> {
        None
    }

    pub(crate) fn of_file(file: &File) -> Option<Self> {
        file.metadata().ok().and_then(|metadata| Self::of(&metadata))
    }
}
