//! The filesystems that have no disk below them.

use std::fs::File;

/// Says whether a file lies in memory and nowhere else.
#[cfg(target_os = "linux")]
pub(super) fn is_in_memory(file: &File) -> bool {
    /// `TMPFS_MAGIC`, `RAMFS_MAGIC` and `HUGETLBFS_MAGIC` of linux/magic.h. The first has memfds, too.
    const MAGICS: [u64; 3] = [0x0102_1994, 0x8584_58f6, 0x9584_58f6];
    rustix::fs::fstatfs(file)
        .ok()
        .and_then(|filesystem| u64::try_from(filesystem.f_type).ok())
        .is_some_and(|magic| MAGICS.contains(&magic))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_in_memory(_file: &File) -> bool {
    false
}
