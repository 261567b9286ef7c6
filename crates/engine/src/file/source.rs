//! Makes descriptors of our own out of a path or a caller's descriptor.

use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// How a file is reached.
#[derive(Debug, Clone)]
pub enum FileSource {
    Path(PathBuf),
    /// A descriptor the caller owns. The engine works on a duplicate, or on a re-opened one.
    #[cfg(unix)]
    Fd(std::os::fd::RawFd),
}

impl FileSource {
    /// How errors call it.
    pub fn name(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            #[cfg(unix)]
            Self::Fd(fd) => format!("descriptor {fd}"),
        }
    }

    /// A path that opens the same file anew: for a descriptor the one below /proc/self/fd.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Path(path) => Some(path.clone()),
            #[cfg(target_os = "linux")]
            Self::Fd(fd) => Some(PathBuf::from(format!("/proc/self/fd/{fd}"))),
            #[cfg(all(unix, not(target_os = "linux")))]
            Self::Fd(_) => None,
        }
    }

    /// Opens it for buffered positional I/O, with O_CLOEXEC.
    pub fn open(&self, write: bool) -> io::Result<File> {
        match self {
            Self::Path(path) => open(path, write),
            #[cfg(unix)]
            Self::Fd(fd) => duplicate(*fd),
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
    options(write).open(path)
}

/// Reading always; writing on demand.
pub fn options(write: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(write);
    options
}

/// Opens a path again with O_DIRECT added.
#[cfg(target_os = "linux")]
pub fn open_direct(path: &Path, write: bool) -> io::Result<File> {
    open_with(path, write, rustix::fs::OFlags::DIRECT)
}

/// Opening a fifo would wait for somebody at its other end; with O_NONBLOCK it comes back, to be refused as no file.
/// The flag is taken away again, since io_uring heeds it.
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

/// Elsewhere there is no O_DIRECT with Linux's meaning.
#[cfg(not(target_os = "linux"))]
pub fn open_direct(_path: &Path, _write: bool) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A duplicate of a caller's descriptor, so that the caller may close its own at any time.
#[cfg(unix)]
pub fn duplicate(fd: std::os::fd::RawFd) -> io::Result<File> {
    use std::os::fd::BorrowedFd;
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(
            rustix::io::Errno::BADF.raw_os_error(),
        ));
    }
    // SAFETY: needed because callers across the Node boundary have only numbers. The number is not negative, and the
    // borrow lives only for the next call, which asks the kernel: for a closed descriptor it answers EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let owned = rustix::io::fcntl_dupfd_cloexec(borrowed, 3)?;
    Ok(File::from(owned))
}

/// A file's own description anew, for reading: its position is nobody else's. `None` where it cannot be had.
#[cfg(target_os = "linux")]
pub(super) fn again(file: &File) -> Option<File> {
    use std::os::fd::AsRawFd;
    open(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())), false).ok()
}

/// Elsewhere descriptors have no paths.
#[cfg(not(target_os = "linux"))]
pub(super) fn again(_file: &File) -> Option<File> {
    None
}

/// What a file is, for errors about files that are something else than expected.
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
