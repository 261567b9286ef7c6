//! A file that appears under its name only when it is complete.
//!
//! ```text
//! create ──> .NAME.UNIQUE.mapped-ram-partial ──(caller writes)──> sync: fsync ──> publish: rename, fsync of the directory
//!                  ├── dropped without publish: unlinked
//!                  └── its maker killed: `remove_abandoned`
//! ```

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::abandoned_partials::{partial_name, possess};
use super::extents::next_extent;
use super::paths::{missing_directory, resolved, sync_directory};
use super::positional::{read_full_at, write_all_at};
use super::replaceable::check_replaceable;
use super::source::kind_of;
use crate::cancel::CancelToken;
use crate::error::{EngineError, ErrorKind, Result};

/// The kept prefix is copied in pieces of this many bytes, with a look at the cancel token between them.
const COPY_PIECE: u64 = 1 << 20;

/// The fate of a file that already has the final name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// The old file stays, and the publication is an error. The check is atomic where the kernel offers that.
    Never,
    /// The new file replaces the old one in one step.
    Allowed,
}

#[derive(Debug)]
pub struct StagedFile {
    file: File,
    partial: PathBuf,
    target: PathBuf,
    replace: Replace,
    /// The metadata of the file that has the name: they say to whom the new file is to belong, and who may open it.
    existing: Option<Metadata>,
    published: bool,
}

impl StagedFile {
    /// Makes the partial file beside `target` (beside what it points to, when it is a symbolic link).
    /// The first `keep` bytes are copied, holes as holes, from the file that has the name now, if there is one.
    /// The file has mode 0600, as QEMU makes it; one that replaces another gets its mode and owner when published.
    /// A file that cannot be replaced, and a directory in which nothing can be renamed, are errors here already.
    pub fn create(target: &Path, keep: u64, replace: Replace) -> Result<Self> {
        Self::create_cancellable(target, keep, replace, &CancelToken::default())
    }

    /// Does as `create`, which takes its time where much is kept.
    /// # Errors
    /// with the kind `Cancelled` after `cancel`, and nothing is left behind
    pub fn create_cancellable(
        target: &Path,
        keep: u64,
        replace: Replace,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let name = target.display().to_string();
        let failed = |error: io::Error| EngineError::io("creating the file", error).on(&name);
        // A link to nowhere is no file, but the name is taken. The caller had better learn that now than at the end.
        if replace == Replace::Never && fs::symlink_metadata(target).is_ok_and(|found| found.is_symlink()) {
            return Err(already_exists(&name));
        }
        // The kernel follows the links here, and refuses those of strangers in a sticky directory.
        let existing = match fs::metadata(target) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if let Some(metadata) = existing.as_ref().filter(|metadata| !metadata.is_file()) {
            let found = kind_of(metadata.file_type());
            let message = format!("expected a regular file or a free name, found {found}");
            return Err(EngineError::new(ErrorKind::Unsupported, message).on(&name));
        }
        if replace == Replace::Never && existing.is_some() {
            return Err(already_exists(&name));
        }
        let target = resolved(target);
        check_replaceable(&target, existing.as_ref()).map_err(|error| error.on(&name))?;
        let (file, partial) = create_partial(&target).map_err(|error| match missing_directory(&target) {
            Some(directory) => {
                let doing = format!("creating the file: there is no directory {}", directory.display());
                EngineError::io(doing, error).on(&name)
            }
            None => failed(error),
        })?;
        // An early return drops `staged` from here on, which removes the partial file.
        let staged = Self {
            file,
            partial,
            target,
            replace,
            existing,
            published: false,
        };
        if keep > 0 && staged.existing.is_some() {
            let original = File::open(&staged.target).map_err(failed)?;
            if !copy_prefix(&original, &staged.file, keep, cancel).map_err(failed)? {
                let message = "creating the file was cancelled";
                return Err(EngineError::new(ErrorKind::Cancelled, message).on(&name));
            }
        }
        Ok(staged)
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// The path of the partial file.
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    /// Makes the contents durable. The caller calls it before `publish`: a name must never survive a power cut that the
    /// contents did not.
    pub fn sync(&self) -> Result<()> {
        self.file
            .sync_all()
            .map_err(|error| self.failed("fsync of the file", error))
    }

    /// Gives the file its name, durably. Bytes that were written since `sync` may not be durable.
    pub fn publish(mut self) -> Result<()> {
        if let Some(existing) = &self.existing {
            inherit_access(&self.file, existing)
                .and_then(|()| self.file.sync_all())
                .map_err(|error| self.failed("giving the file the owner and mode of the old one", error))?;
        }
        self.rename().map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => already_exists(&self.target.display().to_string()),
            _ => self.failed("renaming the finished file", error),
        })?;
        self.published = true;
        sync_directory(&self.target).map_err(|error| self.failed("fsync of the directory", error))
    }

    fn failed(&self, doing: &str, error: io::Error) -> EngineError {
        EngineError::io(doing, error).on(self.target.display().to_string())
    }

    fn rename(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if self.replace == Replace::Never {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            use rustix::io::Errno;
            match renameat_with(CWD, &self.partial, CWD, &self.target, RenameFlags::NOREPLACE) {
                // These filesystems do not know the flag; the check below is the best there is.
                Err(Errno::INVAL | Errno::NOSYS) => {}
                result => return Ok(result?),
            }
        }
        if self.replace == Replace::Never && self.target.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(&self.partial, &self.target)
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.published {
            // Nothing can be done about a failure here, and the error that led here matters more.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

fn already_exists(name: &str) -> EngineError {
    EngineError::new(ErrorKind::Exists, "the file exists already").on(name)
}

/// Copies the data of the first `keep` bytes; holes stay holes. Returns false when the copy was cancelled.
fn copy_prefix(from: &File, to: &File, keep: u64, cancel: &CancelToken) -> io::Result<bool> {
    let length = from.metadata()?.len().min(keep);
    to.set_len(length)?;
    let mut buffer = vec![0; usize::try_from(length.min(COPY_PIECE)).unwrap_or(0)];
    let mut position = 0;
    while let Some(extent) = next_extent(from, position).filter(|extent| extent.start < length) {
        position = extent.start;
        let end = extent.end.min(length);
        while position < end {
            if cancel.is_cancelled() {
                return Ok(false);
            }
            let count = usize::try_from((end - position).min(COPY_PIECE)).unwrap_or(0);
            let piece = buffer.get_mut(..count).ok_or(io::ErrorKind::InvalidInput)?;
            if read_full_at(from, piece, position)? < count {
                // Somebody has cut the file short meanwhile.
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            write_all_at(to, piece, position)?;
            position += count as u64;
        }
    }
    Ok(!cancel.is_cancelled())
}

/// Gives the new file the owner of the old one, as far as this process may give files away, and its mode.
#[cfg(unix)]
fn inherit_access(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let new = file.metadata()?;
    let chown = |uid: u32, gid: u32| match fchown(
        file,
        Some(uid).filter(|uid| *uid != new.uid()),
        Some(gid).filter(|gid| *gid != new.gid()),
    ) {
        // EINVAL: an owner who does not exist in this user namespace.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput
            ) =>
        {
            Ok(false)
        }
        result => result.map(|()| true),
    };
    // The owner may be out of reach and the group not: it may be one of our own.
    let group_kept = chown(old.uid(), old.gid())? || chown(new.uid(), old.gid())?;
    let mode = old.permissions().mode();
    // Another group gets the old group's rights only where everybody had them.
    let mode = if group_kept {
        mode
    } else {
        mode & !0o070 | mode & (mode << 3) & 0o070
    };
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn inherit_access(file: &File, old: &Metadata) -> io::Result<()> {
    file.set_permissions(old.permissions())
}

fn create_partial(target: &Path) -> io::Result<(File, PathBuf)> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    // Names may have 255 bytes, and this one grows: 50 characters are 200 bytes at most.
    let name: String = name.to_string_lossy().chars().take(50).collect();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    loop {
        let partial = target.with_file_name(partial_name(&name, &unique()));
        match options.open(&partial) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => {
                let file = result?;
                match possess(&file) {
                    Ok(true) => return Ok((file, partial)),
                    Ok(false) => {}
                    Err(error) => {
                        let _ = fs::remove_file(&partial);
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// Makes a word that differs between calls, threads and processes, but for a rare clash that `create_new` catches.
fn unique() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{count:x}", std::process::id())
}
