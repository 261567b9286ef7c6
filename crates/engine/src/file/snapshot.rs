//! The open snapshot. A file has two descriptors: a buffered one for small or unaligned requests, and one with O_DIRECT
//! for the rest.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::alignment::{Alignment, direct_alignment};
use super::cache_share::Pages;
use super::identity::Identity;
use super::snapshot_spec::{SnapshotSource, SnapshotSpec};
use super::source::{FileSource, kind_of, open_direct};
use super::storage::Storage;
#[cfg(target_os = "linux")]
use crate::arena::Arena;
use crate::choices::DirectIo;
use crate::error::{EngineError, ErrorKind, Result};

const TURNED_OFF: &str = "turned off by the caller";

/// The decision about direct I/O, and its reason.
#[derive(Debug, Clone)]
pub struct DirectState {
    pub on: bool,
    pub why: String,
}

/// A snapshot that is open for a run.
#[derive(Debug)]
pub struct SnapshotFile {
    pub buffered: Arc<dyn Storage>,
    pub direct: Option<File>,
    pub alignment: Alignment,
    pub state: DirectState,
    pub name: String,
    /// True where reads may go either way, as the page cache has the pages.
    pub(super) is_open_choice: bool,
    pub(super) pages: Pages,
}

impl SnapshotFile {
    /// Opens the snapshot that a plan names. `forced` overrides the alignment of offsets that the filesystem states.
    pub fn open(spec: &SnapshotSpec, write: bool, mode: DirectIo, forced: Option<u32>) -> Result<Self> {
        let name = spec.name();
        let source = match &spec.source {
            SnapshotSource::File(source) => source,
            SnapshotSource::Storage(storage) => return of_storage(Arc::clone(storage), spec, mode),
        };
        let buffered = source
            .open(write)
            .map_err(|error| EngineError::io("opening the snapshot", error).on(&name))?;
        check_kind(&buffered, &name)?;
        refuse_flags(&buffered, write, &name)?;
        let opened = match mode {
            DirectIo::Off => return Ok(without_direct(Arc::new(buffered), TURNED_OFF.to_owned(), name)),
            DirectIo::On | DirectIo::Auto => open_direct_file(source, spec.direct.as_ref(), &buffered, write),
        };
        match opened {
            Ok((file, found)) => {
                let alignment = Alignment {
                    offset: forced.unwrap_or(found.offset),
                    ..found
                };
                let offset = alignment.offset;
                let why = format!("the file accepts O_DIRECT at an alignment of {offset} bytes");
                Ok(Self {
                    buffered: Arc::new(buffered),
                    direct: Some(file),
                    alignment,
                    state: DirectState { on: true, why },
                    name,
                    is_open_choice: mode == DirectIo::Auto && !write,
                    pages: Pages::Unknown,
                })
            }
            // A descriptor that was handed in for direct I/O and does not serve is the caller's mistake, never a
            // fallback.
            Err(error) if mode == DirectIo::On || spec.direct.is_some() => {
                Err(direct_unavailable(error).on(name))
            }
            // A lack of this process says nothing about the file.
            Err(error) if is_shortage(&error) => {
                Err(EngineError::io("opening the snapshot for direct I/O", error).on(name))
            }
            Err(error) => {
                let why = format!("the file does not accept O_DIRECT ({error})");
                Ok(without_direct(Arc::new(buffered), why, name))
            }
        }
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        self.buffered.file().and_then(Identity::of_file)
    }
}

fn of_storage(storage: Arc<dyn Storage>, spec: &SnapshotSpec, mode: DirectIo) -> Result<SnapshotFile> {
    let why = "the snapshot is no local file";
    if mode == DirectIo::On || spec.direct.is_some() {
        let error = io::Error::new(io::ErrorKind::Unsupported, why);
        return Err(direct_unavailable(error).on(spec.name()));
    }
    let why = if mode == DirectIo::Off { TURNED_OFF } else { why };
    Ok(without_direct(storage, why.to_owned(), spec.name()))
}

fn without_direct(buffered: Arc<dyn Storage>, why: String, name: String) -> SnapshotFile {
    SnapshotFile {
        buffered,
        direct: None,
        alignment: Alignment::uniform(1),
        state: DirectState { on: false, why },
        name,
        is_open_choice: false,
        pages: Pages::Unknown,
    }
}

fn direct_unavailable(error: io::Error) -> EngineError {
    let message = "direct I/O was asked for and cannot be had";
    EngineError::new(ErrorKind::DirectIoUnavailable, message).caused_by(error)
}

/// Takes the caller's direct descriptor, or opens the file again.
fn open_direct_file(
    source: &FileSource,
    direct: Option<&FileSource>,
    buffered: &File,
    write: bool,
) -> io::Result<(File, Alignment)> {
    let file = match (direct, source.path()) {
        (Some(given), _) => {
            let file = given.open(write)?;
            require_direct_flag(&file, write)?;
            require_same_file(&file, buffered)?;
            file
        }
        (None, Some(path)) => open_direct(&path, write)?,
        (None, None) => return Err(io::ErrorKind::Unsupported.into()),
    };
    let alignment = direct_alignment(&file)?;
    try_direct_read(&file, alignment)?;
    Ok((file, alignment))
}

/// Says whether this process or the system has too many open files, or no memory.
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

/// Some filesystems take the flag and refuse the I/O. A read shows that before any page is at stake. A descriptor that
/// is open for writing only cannot tell.
#[cfg(target_os = "linux")]
fn try_direct_read(file: &File, alignment: Alignment) -> io::Result<()> {
    let length = usize::try_from(alignment.offset).map_err(|_| io::ErrorKind::Unsupported)?;
    let mut arena = Arena::new(1, length)?;
    let buffer = arena
        .slot(0)?
        .get_mut(..length)
        .ok_or(io::ErrorKind::InvalidInput)?;
    match file.read_at(buffer, 0) {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::BADF.raw_os_error()) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn try_direct_read(_file: &File, _alignment: Alignment) -> io::Result<()> {
    Ok(())
}

/// Refuses everything but files and disks, which positional requests need: a fifo would take the requests for a stream,
/// and could keep them for ever.
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

/// Says whether the descriptor was opened with O_APPEND: positional writes to such a descriptor go to the file's end.
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
