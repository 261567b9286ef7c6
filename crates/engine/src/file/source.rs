//! Descriptors of our own, made out of a path or a caller's descriptor.

#[cfg(not(unix))]
use std::fs::OpenOptions;
use std::fs::{File, FileType};
use std::io;
#[cfg(unix)]
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::sync::Arc;

#[cfg(unix)]
use crate::descriptor::borrow;
#[cfg(unix)]
use crate::error::{EngineError, Result};

/// The way to a file.
#[derive(Debug, Clone)]
pub enum FileSource {
    Path(PathBuf),
    /// A descriptor the caller owns. The engine works on a duplicate, or on a re-opened one.
    #[cfg(unix)]
    Fd(RawFd),
    /// A descriptor of our own for a file that a caller has open: the caller may close its descriptor meanwhile, and the
    /// number may come to mean another file.
    #[cfg(unix)]
    Duplicate(Arc<OwnedFd>),
}

impl FileSource {
    /// Takes a descriptor of our own for the file that a caller has open.
    #[cfg(unix)]
    pub fn duplicate_of(fd: RawFd) -> Result<Self> {
        let owned = duplicate(fd)
            .map_err(|error| EngineError::io("using the descriptor", error).on(format!("descriptor {fd}")))?;
        Ok(Self::Duplicate(Arc::new(owned)))
    }

    /// Errors call the file by this name.
    pub fn name(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            #[cfg(unix)]
            Self::Fd(fd) => format!("descriptor {fd}"),
            #[cfg(unix)]
            Self::Duplicate(fd) => format!("descriptor {}", fd.as_raw_fd()),
        }
    }

    /// The path that opens the same file anew. A descriptor has one below /proc/self/fd.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Path(path) => Some(path.clone()),
            #[cfg(target_os = "linux")]
            Self::Fd(fd) => Some(below_proc(*fd)),
            #[cfg(target_os = "linux")]
            Self::Duplicate(fd) => Some(below_proc(fd.as_raw_fd())),
            #[cfg(all(unix, not(target_os = "linux")))]
            Self::Fd(_) | Self::Duplicate(_) => None,
        }
    }

    /// Opens the file anew, so that nobody else uses the position of that description. `None` where the file cannot be
    /// opened anew.
    pub(crate) fn reopen(&self, write: bool) -> Option<File> {
        self.path().and_then(|path| open(&path, write).ok())
    }

    /// Opens the file anew, or duplicates a descriptor that cannot be opened anew. The second part of the result says
    /// whether the position is ours alone.
    pub(crate) fn reopen_or_duplicate(&self, write: bool) -> io::Result<(File, bool)> {
        match self.reopen(write) {
            Some(file) => Ok((file, true)),
            None => Ok((self.open(write)?, false)),
        }
    }

    /// Opens the file for buffered positional I/O, with O_CLOEXEC.
    pub fn open(&self, write: bool) -> io::Result<File> {
        match self {
            Self::Path(path) => open(path, write),
            #[cfg(unix)]
            Self::Fd(fd) => Ok(File::from(duplicate(*fd)?)),
            #[cfg(unix)]
            Self::Duplicate(fd) => Ok(File::from(fd.try_clone()?)),
        }
    }
}

/// Opens a path for reading and, on demand, writing.
#[cfg(unix)]
pub fn open(path: &Path, write: bool) -> io::Result<File> {
    open_with(path, write, rustix::fs::OFlags::empty())
}

/// Opens a path for reading and, on demand, writing.
#[cfg(not(unix))]
pub fn open(path: &Path, write: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(write).open(path)
}

/// Opens a path again with O_DIRECT added.
#[cfg(target_os = "linux")]
pub fn open_direct(path: &Path, write: bool) -> io::Result<File> {
    open_with(path, write, rustix::fs::OFlags::DIRECT)
}

/// Opens a path with O_NONBLOCK and takes the flag away again. Without it the call would wait for somebody at a fifo's
/// other end, and a fifo is no file anyway. io_uring heeds the flag, so it must not stay.
#[cfg(unix)]
fn open_with(path: &Path, write: bool, flags: rustix::fs::OFlags) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
    let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
    let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK | flags;
    let file = File::from(rustix::io::retry_on_intr(|| {
        rustix::fs::open(path, flags, Mode::empty())
    })?);
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Other platforms have no O_DIRECT with Linux's meaning.
#[cfg(not(target_os = "linux"))]
pub fn open_direct(_path: &Path, _write: bool) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Duplicates a caller's descriptor, so that the caller may close its own at any time.
#[cfg(unix)]
fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(borrow(&fd)?, 3)?)
}

#[cfg(target_os = "linux")]
fn below_proc(fd: RawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{fd}"))
}

/// Opens an open file again for reading, so that nobody else uses the position. `None` where the file cannot be opened
/// again.
#[cfg(unix)]
pub(super) fn again(file: &File) -> Option<File> {
    FileSource::Fd(file.as_raw_fd()).reopen(false)
}

/// Descriptors have no paths on other platforms.
#[cfg(not(unix))]
pub(super) fn again(_file: &File) -> Option<File> {
    None
}

/// Names the kind of a file, for errors about files that are something else than expected.
pub fn kind_of(file_type: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if file_type.is_block_device() {
            return "a block device";
        }
        if file_type.is_char_device() {
            return "a character device";
        }
        if file_type.is_fifo() {
            return "a fifo";
        }
        if file_type.is_socket() {
            return "a socket";
        }
    }
    if file_type.is_dir() {
        return "a directory";
    }
    "no regular file"
}
