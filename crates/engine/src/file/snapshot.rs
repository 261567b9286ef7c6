//! A snapshot's two descriptors: a buffered one for what is small or unaligned, an O_DIRECT one for the channels.

use std::fs::File;
use std::io;

use super::alignment::{Alignment, direct_alignment};
use super::reopen::{FileSource, open_direct};
use crate::error::{EngineError, ErrorKind, Result};
use crate::plan::DirectIo;

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
        refuse_direct_flag(&buffered, &name)?;
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
                this.alignment = forced.map_or(found, Alignment::uniform);
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
            Err(error) => {
                this.state.reason = format!("the file does not accept O_DIRECT ({error})");
                Ok(this)
            }
        }
    }

    fn open_direct(&self, spec: &SnapshotSpec, write: bool) -> io::Result<(File, Alignment)> {
        let file = match (&spec.direct, spec.file.path()) {
            (Some(given), _) => {
                let file = given.open(write)?;
                require_direct_flag(&file)?;
                require_same_file(&file, &self.buffered)?;
                file
            }
            (None, Some(path)) => open_direct(&path, write)?,
            (None, None) => return Err(io::ErrorKind::Unsupported.into()),
        };
        let alignment = direct_alignment(&file)?;
        Ok((file, alignment))
    }
}

#[cfg(target_os = "linux")]
fn is_direct(file: &File) -> io::Result<bool> {
    Ok(rustix::fs::fcntl_getfl(file)?.contains(rustix::fs::OFlags::DIRECT))
}

#[cfg(not(target_os = "linux"))]
fn is_direct(_file: &File) -> io::Result<bool> {
    Ok(false)
}

fn refuse_direct_flag(file: &File, name: &str) -> Result<()> {
    let direct =
        is_direct(file).map_err(|error| EngineError::io("reading the descriptor's flags", error).on(name))?;
    if !direct {
        return Ok(());
    }
    let message = "the buffered descriptor: expected one without O_DIRECT, found O_DIRECT";
    Err(EngineError::new(ErrorKind::InvalidArgument, message).on(name))
}

fn require_direct_flag(file: &File) -> io::Result<()> {
    if is_direct(file)? {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "the direct descriptor was not opened with O_DIRECT",
    ))
}

#[cfg(unix)]
fn require_same_file(left: &File, right: &File) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let (left, right) = (left.metadata()?, right.metadata()?);
    if (left.dev(), left.ino()) == (right.dev(), right.ino()) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "the two descriptors belong to different files",
    ))
}

#[cfg(not(unix))]
fn require_same_file(_left: &File, _right: &File) -> io::Result<()> {
    Ok(())
}
