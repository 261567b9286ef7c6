//! The alignment that direct I/O demands of a file: the filesystem states it, nobody guesses.

use std::fs::File;
use std::io;
use std::path::Path;

use super::source::open_direct;
use super::staged::{Replace, StagedFile};

/// Alignments of direct I/O: powers of two, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alignment {
    /// The alignment of the buffer's address.
    pub memory: u32,
    /// The alignment of the file offset and of the length.
    pub offset: u32,
}

impl Alignment {
    pub const fn uniform(bytes: u32) -> Self {
        Self {
            memory: bytes,
            offset: bytes,
        }
    }

    /// The alignment that every filesystem in use accepts, for those that do not state theirs.
    #[cfg(target_os = "linux")]
    const USUAL: Self = Self::uniform(4096);
}

/// The alignment of direct I/O on a file that is open for it. A file that does not support direct I/O is an error.
#[cfg(target_os = "linux")]
pub fn direct_alignment(file: &File) -> io::Result<Alignment> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    let Ok(found) = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) else {
        return Ok(Alignment::USUAL);
    };
    if found.stx_mask & StatxFlags::DIOALIGN.bits() == 0 {
        return Ok(Alignment::USUAL);
    }
    let alignment = Alignment {
        memory: found.stx_dio_mem_align,
        offset: found.stx_dio_offset_align,
    };
    if !alignment.memory.is_power_of_two() || !alignment.offset.is_power_of_two() {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the file does not support direct I/O",
        ));
    }
    Ok(alignment)
}

#[cfg(not(target_os = "linux"))]
pub fn direct_alignment(_file: &File) -> io::Result<Alignment> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "direct I/O is supported on Linux only",
    ))
}

/// The alignment of direct I/O on new files of a directory. The probe makes such a file and removes it again.
pub fn probe_directory(directory: &Path) -> io::Result<Alignment> {
    let staged = StagedFile::create(&directory.join("direct-io-probe"), 0, Replace::Allowed)
        .map_err(|error| error.into_io())?;
    let file = open_direct(staged.partial(), true)?;
    direct_alignment(&file)
}
