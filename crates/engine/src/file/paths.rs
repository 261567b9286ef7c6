//! Where a target is, its directory, and what makes a directory's names durable.

use std::fs;
#[cfg(unix)]
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// As many links in a row as Linux follows.
const MAX_LINKS: usize = 40;

/// What `target` is, whatever links lead there.
pub(super) fn resolved(target: &Path) -> PathBuf {
    fs::canonicalize(target).unwrap_or_else(|_| follow_links(target))
}

/// Where a chain of symbolic links ends, also when nothing is there.
fn follow_links(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        let Ok(link) = fs::read_link(&path) else {
            break;
        };
        path = path.parent().unwrap_or_else(|| Path::new("")).join(link);
    }
    path
}

/// The directory of `target`; `.` where the name has none.
pub(super) fn directory_of(target: &Path) -> &Path {
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    directory.unwrap_or_else(|| Path::new("."))
}

/// The directory of `target` when there is none of that name.
pub(super) fn missing_directory(target: &Path) -> Option<&Path> {
    let directory = directory_of(target);
    let found = fs::metadata(directory);
    found
        .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        .then_some(directory)
}

/// Makes the names in the directory of `target` durable.
#[cfg(unix)]
pub(super) fn sync_directory(target: &Path) -> io::Result<()> {
    File::open(directory_of(target))?.sync_all()
}

/// A directory cannot be opened for fsync there.
#[cfg(not(unix))]
pub(super) fn sync_directory(_target: &Path) -> io::Result<()> {
    Ok(())
}
