//! The filesystems that files lie on, as far as the way to move their bytes depends on them.

use std::fs::File;

/// Says whether a file lies in memory and nowhere else. A block device does not, although its node does.
#[cfg(target_os = "linux")]
pub(super) fn is_in_memory(file: &File) -> bool {
    // `TMPFS_MAGIC`, `RAMFS_MAGIC` and `HUGETLBFS_MAGIC` of linux/magic.h. The first has memfds, too.
    is_file_on(file, &[0x0102_1994, 0x8584_58f6, 0x9584_58f6])
}

/// Says whether direct requests for a file are known to be taken without a wait for the disk. Filesystems that are not
/// known (many of FUSE) may wait while a request is handed over.
#[cfg(target_os = "linux")]
pub(super) fn queues_direct_requests(file: &File) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let is_device = file
        .metadata()
        .is_ok_and(|metadata| metadata.file_type().is_block_device());
    // The magics of ext4, XFS, Btrfs, F2FS, and of overlayfs, which hands requests to the filesystem below.
    is_device
        || is_file_on(
            file,
            &[0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x794c_7630],
        )
}

#[cfg(target_os = "linux")]
fn is_file_on(file: &File, magics: &[u64]) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
        && rustix::fs::fstatfs(file)
            .ok()
            .and_then(|filesystem| u64::try_from(filesystem.f_type).ok())
            .is_some_and(|magic| magics.contains(&magic))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_in_memory(_file: &File) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
pub(super) fn queues_direct_requests(_file: &File) -> bool {
    false
}
