//! A file that appears under its name only when it is complete.
//!
//! ```text
//! create ──> .NAME.RANDOM.partial ──(caller writes)──> commit: fsync, rename, fsync of the directory
//!                  └── dropped without commit: unlinked
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::reopen::kind_of;
use crate::error::{EngineError, ErrorKind, Result};

/// What may happen to a file that already has the final name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// It stays, and the commit is an error. The check is atomic where the kernel offers it.
    Never,
    /// It is replaced in one step.
    Allowed,
}

#[derive(Debug)]
pub struct StagedFile {
    file: File,
    partial: PathBuf,
    target: PathBuf,
    replace: Replace,
    committed: bool,
}

impl StagedFile {
    /// Makes the partial file beside `target` (beside what it points to, when it is a symbolic link).
    /// The first `keep` bytes are copied from the file that has the name now, if there is one.
    /// A new file has mode 0600, as QEMU makes it; a replaced one keeps its mode.
    pub fn create(target: &Path, keep: u64, replace: Replace) -> Result<Self> {
        let name = target.display().to_string();
        let failed = |error: io::Error| EngineError::io("creating the file", error).on(&name);
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_path_buf());
        let existing = match fs::metadata(&target) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if let Some(metadata) = existing.as_ref().filter(|metadata| !metadata.is_file()) {
            let found = kind_of(metadata.file_type());
            let message = format!("expected a regular file or a free name, found {found}");
            return Err(EngineError::new(ErrorKind::Unsupported, message).on(&name));
        }
        // A link to nowhere is no file, but its name is taken: better said now than at the commit.
        if replace == Replace::Never && fs::symlink_metadata(&target).is_ok() {
            return Err(already_exists(&name));
        }
        let (file, partial) = create_partial(&target).map_err(failed)?;
        // From here on an early return drops `staged`, which removes the partial file.
        let staged = Self {
            file,
            partial,
            target,
            replace,
            committed: false,
        };
        if let Some(metadata) = existing {
            staged
                .file
                .set_permissions(metadata.permissions())
                .map_err(failed)?;
            if keep > 0 {
                let original = File::open(&staged.target).map_err(failed)?;
                io::copy(&mut original.take(keep), &mut &staged.file).map_err(failed)?;
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

    /// Makes the contents durable and gives the file its name.
    pub fn commit(mut self) -> Result<()> {
        let name = self.target.display().to_string();
        let failed = |doing: &str, error| EngineError::io(doing, error).on(&name);
        self.file
            .sync_all()
            .map_err(|error| failed("fsync of the file", error))?;
        self.rename().map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => already_exists(&name),
            _ => failed("renaming the finished file", error),
        })?;
        self.committed = true;
        sync_directory(&self.target).map_err(|error| failed("fsync of the directory", error))
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
        if !self.committed {
            // Nothing can be done about a failure here, and the error that led here matters more.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

fn already_exists(name: &str) -> EngineError {
    EngineError::new(ErrorKind::Exists, "the file exists already").on(name)
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
        let partial = target.with_file_name(format!(".{name}.{}.partial", unique()));
        match options.open(&partial) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return Ok((result?, partial)),
        }
    }
}

/// Differs between calls, threads and, but for a rare clash that `create_new` catches, processes.
fn unique() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{count:x}", std::process::id())
}

#[cfg(unix)]
fn sync_directory(target: &Path) -> io::Result<()> {
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// A directory cannot be opened for fsync there.
#[cfg(not(unix))]
fn sync_directory(_target: &Path) -> io::Result<()> {
    Ok(())
}
