//! Paths of targets: where links lead, the directory, and the fsync that makes names in it durable.

use std::fs;
#[cfg(unix)]
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Linux follows this many links in a row.
const MAX_LINKS: usize = 40;

/// Finds the file's own path behind all links that lead there.
pub(super) fn resolved(target: &Path) -> PathBuf {
    fs::canonicalize(target).unwrap_or_else(|_| follow_links(target))
}

/// Finds the end of a chain of symbolic links, also when nothing is there.
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

/// Returns the directory of `target` when there is no such directory.
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

/// Other platforms cannot open a directory for fsync.
#[cfg(not(unix))]
pub(super) fn sync_directory(_target: &Path) -> io::Result<()> {
    Ok(())
}
