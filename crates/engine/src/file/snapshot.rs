//! A snapshot's two descriptors: a buffered one for what is small or unaligned, an O_DIRECT one for the channels.

use std::fs::File;
use std::io;

use super::alignment::{Alignment, direct_alignment};
use super::identity::Identity;
#[cfg(target_os = "linux")]
use super::positional;
use super::source::{FileSource, kind_of, open_direct};
#[cfg(target_os = "linux")]
use crate::arena::Arena;
use crate::choices::DirectIo;
use crate::error::{EngineError, ErrorKind, Result};

/// How a plan names the snapshot file.
#[derive(Debug, Clone)]
pub struct SnapshotSpec {
    pub file: FileSource,
    /// A descriptor of the same file that the caller opened with O_DIRECT. Without it the file is opened again.
    pub direct: Option<FileSource>,
    /// How errors call it; the path or descriptor where empty.
    pub name: String,
}

impl SnapshotSpec {
    pub fn path(path: impl Into<std::path::PathBuf>) -> Self {
        Self {
            file: FileSource::Path(path.into()),
            direct: None,
            name: String::new(),
        }
    }
}

/// Whether direct I/O is in use, and why (not).
#[derive(Debug, Clone)]
pub struct DirectState {
    pub on: bool,
    pub reason: String,
}

/// The open snapshot.
#[derive(Debug)]
pub struct SnapshotFile {
    pub buffered: File,
    pub direct: Option<File>,
    pub alignment: Alignment,
    pub state: DirectState,
    pub name: String,
}

impl SnapshotFile {
    pub fn open(spec: &SnapshotSpec, write: bool, mode: DirectIo, forced: Option<u32>) -> Result<Self> {
        let name = if spec.name.is_empty() {
            spec.file.name()
        } else {
            spec.name.clone()
        };
        let buffered = spec
            .file
            .open(write)
            .map_err(|error| EngineError::io("opening the snapshot", error).on(&name))?;
        check_kind(&buffered, &name)?;
        refuse_flags(&buffered, write, &name)?;
        let mut this = Self {
            buffered,
            direct: None,
            alignment: Alignment::uniform(1),
            state: DirectState {
                on: false,
                reason: "turned off by the caller".to_owned(),
            },
            name,
        };
        if mode == DirectIo::Off {
            return Ok(this);
        }
        match this.open_direct(spec, write) {
            Ok((file, found)) => {
                this.direct = Some(file);
                this.alignment = Alignment {
                    offset: forced.unwrap_or(found.offset),
                    ..found
                };
                this.state = DirectState {
                    on: true,
                    reason: format!(
                        "the file accepts O_DIRECT at an alignment of {} bytes",
                        this.alignment.offset
                    ),
                };
                Ok(this)
            }
            // A descriptor that was handed in for direct I/O and does not serve is the caller's mistake, never a fallback.
            Err(error) if mode == DirectIo::On || spec.direct.is_some() => {
                let message = "direct I/O was asked for and cannot be had";
                Err(EngineError::new(ErrorKind::DirectIoUnavailable, message)
                    .on(&this.name)
                    .caused_by(error))
            }
            // What this process lacks says nothing about the file.
            Err(error) if is_shortage(&error) => {
                Err(EngineError::io("opening the snapshot for direct I/O", error).on(&this.name))
            }
            Err(error) => {
                this.state.reason = format!("the file does not accept O_DIRECT ({error})");
                Ok(this)
            }
        }
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        Identity::of_file(&self.buffered)
    }

    fn open_direct(&self, spec: &SnapshotSpec, write: bool) -> io::Result<(File, Alignment)> {
        let file = match (&spec.direct, spec.file.path()) {
            (Some(given), _) => {
                let file = given.open(write)?;
                require_direct_flag(&file, write)?;
                require_same_file(&file, &self.buffered)?;
                file
            }
            (None, Some(path)) => open_direct(&path, write)?,
            (None, None) => return Err(io::ErrorKind::Unsupported.into()),
        };
        let alignment = direct_alignment(&file)?;
        try_direct_read(&file, alignment)?;
        Ok((file, alignment))
    }
}

/// Too many open files, or no memory.
#[cfg(unix)]
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.kind() == io::ErrorKind::OutOfMemory
        || matches!(
            Errno::from_io_error(error),
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM)
        )
}

#[cfg(not(unix))]
fn is_shortage(_error: &io::Error) -> bool {
    false
}

/// Some filesystems take the flag and refuse the I/O. A read shows it before any page is at stake; a descriptor that is
/// open for writing only cannot tell.
#[cfg(target_os = "linux")]
fn try_direct_read(file: &File, alignment: Alignment) -> io::Result<()> {
    let length = usize::try_from(alignment.offset).map_err(|_| io::ErrorKind::Unsupported)?;
    let mut arena = Arena::new(1, length)?;
    let buffer = arena
        .slot(0)?
        .get_mut(..length)
        .ok_or(io::ErrorKind::InvalidInput)?;
    match positional::read_at(file, buffer, 0) {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::BADF.raw_os_error()) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn try_direct_read(_file: &File, _alignment: Alignment) -> io::Result<()> {
    Ok(())
}

/// Positional requests need a file or a disk: a fifo would take them for a stream, and could keep them for ever.
fn check_kind(file: &File, name: &str) -> Result<()> {
    let kind = file
        .metadata()
        .map_err(|error| EngineError::io("opening the snapshot", error).on(name))?
        .file_type();
    #[cfg(unix)]
    let is_disk = std::os::unix::fs::FileTypeExt::is_block_device(&kind);
    #[cfg(not(unix))]
    let is_disk = false;
    if kind.is_file() || is_disk {
        return Ok(());
    }
    let message = format!("the snapshot: expected a regular file, found {}", kind_of(kind));
    Err(EngineError::new(ErrorKind::Unsupported, message).on(name))
}

#[cfg(target_os = "linux")]
fn is_direct(file: &File) -> io::Result<bool> {
    Ok(rustix::fs::fcntl_getfl(file)?.contains(rustix::fs::OFlags::DIRECT))
}

#[cfg(not(target_os = "linux"))]
fn is_direct(_file: &File) -> io::Result<bool> {
    Ok(false)
}

/// Positional writes to such a descriptor go to the file's end all the same.
#[cfg(unix)]
fn is_appending(file: &File) -> io::Result<bool> {
    Ok(rustix::fs::fcntl_getfl(file)?.contains(rustix::fs::OFlags::APPEND))
}

#[cfg(not(unix))]
fn is_appending(_file: &File) -> io::Result<bool> {
    Ok(false)
}

fn refuse_flags(file: &File, write: bool, name: &str) -> Result<()> {
    let failed = |error| EngineError::io("reading the descriptor's flags", error).on(name);
    let flag = if is_direct(file).map_err(failed)? {
        "O_DIRECT"
    } else if write && is_appending(file).map_err(failed)? {
        "O_APPEND"
    } else {
        return Ok(());
    };
    let message = format!("the buffered descriptor: expected one without {flag}, found {flag}");
    Err(EngineError::new(ErrorKind::InvalidArgument, message).on(name))
}

fn require_direct_flag(file: &File, write: bool) -> io::Result<()> {
    let message = if !is_direct(file)? {
        "the direct descriptor was not opened with O_DIRECT"
    } else if write && is_appending(file)? {
        "the direct descriptor was opened with O_APPEND"
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

fn require_same_file(left: &File, right: &File) -> io::Result<()> {
    if Identity::of(&left.metadata()?) == Identity::of(&right.metadata()?) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "the two descriptors belong to different files",
    ))
}
