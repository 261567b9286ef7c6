//! The kind of filesystem that guest memory lies on, as far as it decides how bytes are moved.

use std::fs::File;
use std::io;

/// `TMPFS_MAGIC` of linux/magic.h.
const TMPFS_MAGIC: u64 = 0x0102_1994;
/// `HUGETLBFS_MAGIC` of linux/magic.h.
const HUGETLBFS_MAGIC: u64 = 0x9584_58f6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filesystem {
    /// tmpfs, which memfds are on, too.
    Memory,
    /// hugetlbfs, whose files consist of huge pages of this many bytes.
    Huge { page_size: u64 },
    /// A disk, a network, or something that was not recognized.
    Other,
}

impl Filesystem {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let found = rustix::fs::fstatfs(file)?;
        Ok(match u64::try_from(found.f_type) {
            Ok(TMPFS_MAGIC) => Self::Memory,
            Ok(HUGETLBFS_MAGIC) => Self::Huge {
                page_size: u64::try_from(found.f_bsize).unwrap_or(0).max(4096),
            },
            _ => Self::Other,
        })
    }
}
