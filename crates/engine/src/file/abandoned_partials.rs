//! Partial files whose maker was killed before it could remove them.
//!
//! Each partial file has a mark in its name, and its maker holds a shared lock on it for as long as it lives. So a file
//! that has the mark and can be locked exclusively belongs to nobody any more. A process id in the name would not do:
//! other containers and other hosts have ids of their own.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use super::identity::Identity;
use super::lock::{Lock, Locked, lock_file};
use super::paths::{directory_of, resolved};

const MARK: &str = ".mapped-ram-partial";

/// The name of the partial file for a target of this name. `unique` is made of hexadecimal digits and hyphens.
pub(super) fn partial_name(name: &str, unique: &str) -> String {
    format!(".{name}.{unique}{MARK}")
}

fn is_partial_name(name: &str) -> bool {
    let unique = name
        .strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(MARK))
        .and_then(|rest| rest.rsplit_once('.'))
        .map(|(_, unique)| unique);
    unique.is_some_and(|unique| {
        !unique.is_empty()
            && unique
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    })
}

/// Takes a new partial file into possession. Returns false when somebody took the file for abandoned in the moment
/// before.
pub(super) fn possess(file: &File) -> io::Result<bool> {
    // A filesystem without locks lets nobody take the file for abandoned either.
    Ok(lock_file(file, Lock::Shared)? != Locked::Busy && has_name(file)?)
}

/// Removes the partial files beside `target` whose makers are no more. A file that cannot be judged or removed stays:
/// that is no error for a caller who wants to write something else there.
pub fn remove_abandoned(target: &Path) {
    let target = resolved(target);
    let Ok(entries) = fs::read_dir(directory_of(&target)) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(is_partial_name) {
            let _ = remove_if_abandoned(&entry.path());
        }
    }
}

fn remove_if_abandoned(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    // Network filesystems want a writable descriptor for an exclusive lock.
    options.read(true).write(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        // Anybody may have put anything under this name.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = options.open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || lock_file(&file, Lock::Exclusive)? != Locked::Yes {
        return Ok(());
    }
    // The file may have been published since it was opened, and another file may have got its old name.
    let identity = Identity::of(&found);
    if identity.is_some() && identity == Identity::of(&fs::symlink_metadata(path)?) {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(unix)]
fn has_name(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(file.metadata()?.nlink() > 0)
}

#[cfg(not(unix))]
fn has_name(_file: &File) -> io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::{is_partial_name, partial_name};

    #[test]
    fn only_names_with_the_mark_are_partial() {
        for name in ["snapshot", ".hidden", "a.b", ""] {
            assert!(is_partial_name(&partial_name(name, "1f-0")), "{name}");
        }
        for name in [
            "snapshot",
            ".snapshot.1f-0.partial",
            "snapshot.1f-0.mapped-ram-partial",
            ".mapped-ram-partial",
            "..mapped-ram-partial",
            ".snapshot.mapped-ram-partial",
            ".snapshot.1f-0.mapped-ram-partial.bak",
        ] {
            assert!(!is_partial_name(name), "{name}");
        }
    }
}
