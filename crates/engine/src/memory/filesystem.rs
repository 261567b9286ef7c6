//! The kind of filesystem that guest memory lies on, as far as it decides how bytes are moved.

use std::fs::File;
use std::io;

/// `HUGETLBFS_MAGIC` of linux/magic.h.
const HUGETLBFS_MAGIC: u64 = 0x9584_58f6;

/// The size of the huge pages that a file consists of; `None` unless it is on hugetlbfs.
pub(super) fn huge_page_size(file: &File) -> io::Result<Option<u64>> {
    let found = rustix::fs::fstatfs(file)?;
    let is_huge = u64::try_from(found.f_type) == Ok(HUGETLBFS_MAGIC);
    Ok(is_huge.then(|| u64::try_from(found.f_bsize).unwrap_or(0).max(4096)))
}
