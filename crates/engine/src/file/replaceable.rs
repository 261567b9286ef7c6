//! Obstacles to the replacement of a file that show before anything is written: the rename at the end would be refused.

#[cfg(not(target_os = "linux"))]
use std::fs::Metadata;
#[cfg(target_os = "linux")]
use std::fs::{self, Metadata};
#[cfg(target_os = "linux")]
use std::io;
use std::path::Path;

#[cfg(target_os = "linux")]
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
#[cfg(target_os = "linux")]
use rustix::io::Errno;

#[cfg(target_os = "linux")]
use super::paths::directory_of;
#[cfg(target_os = "linux")]
use crate::error::EngineError;
use crate::error::Result;

/// Attributes that keep a file from being replaced, with the error that the rename would give and the cure.
#[cfg(target_os = "linux")]
const OF_FILE: [(StatxAttributes, Errno, &str); 3] = [
    (
        StatxAttributes::MOUNT_ROOT,
        Errno::BUSY,
        "a mount point cannot be replaced: unmount it, or take another name",
    ),
    (
        StatxAttributes::IMMUTABLE,
        Errno::PERM,
        "an immutable file cannot be replaced: chattr -i, or take another name",
    ),
    (
        StatxAttributes::APPEND,
        Errno::PERM,
        "an append-only file cannot be replaced: chattr -a, or take another name",
    ),
];

/// Attributes of the directory that keep a file in it from getting its name.
#[cfg(target_os = "linux")]
const OF_DIRECTORY: [(StatxAttributes, Errno, &str); 2] = [
    (
        StatxAttributes::IMMUTABLE,
        Errno::PERM,
        "nothing can be made in an immutable directory: chattr -i, or take another one",
    ),
    (
        StatxAttributes::APPEND,
        Errno::PERM,
        "nothing can be renamed in an append-only directory: chattr -a, or take another one",
    ),
];

/// Refuses a target whose file, if there is one, cannot be replaced. What cannot be found out is no obstacle.
#[cfg(target_os = "linux")]
pub(super) fn check_replaceable(target: &Path, existing: Option<&Metadata>) -> Result<()> {
    let directory = directory_of(target);
    refuse_attributes(directory, &OF_DIRECTORY)?;
    if existing.is_none() {
        return Ok(());
    }
    refuse_attributes(target, &OF_FILE)?;
    // The kernel looks first whether the caller may take the name away, which the rename would ask too, and then at the
    // kind of file. So rmdir of a file changes nothing, and its error tells: a sticky directory with somebody else's
    // file, a swap file, a directory or filesystem that cannot be written.
    let Err(error) = fs::remove_dir(target) else {
        return Ok(());
    };
    let errno = Errno::from_io_error(&error);
    let denied = [Errno::PERM, Errno::ACCESS, Errno::ROFS, Errno::BUSY];
    if errno.is_some_and(|errno| denied.contains(&errno)) {
        let doing = format!("the file in {} may not be replaced", directory.display());
        return Err(EngineError::io(doing, error).on(target.display().to_string()));
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn refuse_attributes(path: &Path, table: &[(StatxAttributes, Errno, &str)]) -> Result<()> {
    // Older kernels and other sandboxes tell less, or nothing.
    let Ok(found) = statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS) else {
        return Ok(());
    };
    let set = found.stx_attributes & found.stx_attributes_mask;
    match table.iter().find(|(attribute, ..)| set.contains(*attribute)) {
        Some((_, errno, words)) => {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            Err(EngineError::io(*words, error).on(path.display().to_string()))
        }
        None => Ok(()),
    }
}

/// Other platforms show none of this.
#[cfg(not(target_os = "linux"))]
pub(super) fn check_replaceable(_target: &Path, _existing: Option<&Metadata>) -> Result<()> {
    Ok(())
}
