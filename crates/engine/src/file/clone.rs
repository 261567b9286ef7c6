//! Files that begin as a copy of another and share its blocks (reflinks): each takes room only for what is written into
//! it later.

use std::io;

use super::source::FileSource;
use crate::error::{EngineError, Result};

/// The outcome of the attempt to share blocks.
#[derive(Debug)]
pub enum Cloned {
    Yes,
    /// The filesystem or the platform cannot; the file that was to be written is as it was.
    Unavailable(io::Error),
}

/// Makes the file `into` a copy of the file `from`, whose blocks it shares. The two must be on one filesystem.
///
/// XFS would set 128 KiB aside for every write into shared blocks. `unit` asks it to copy no more than so many bytes at
/// a time, a multiple of its block size; other filesystems go by their blocks anyway.
pub fn clone_file(from: &FileSource, into: &FileSource, unit: u32) -> Result<Cloned> {
    let source = from
        .open(false)
        .map_err(|error| EngineError::io("opening the file to clone", error).on(from.name()))?;
    let target = into
        .open(true)
        .map_err(|error| EngineError::io("opening the clone", error).on(into.name()))?;
    imp::clone(&source, &target, unit)
        .map_err(|error| EngineError::io("cloning the file", error).on(into.name()))
}

#[cfg(target_os = "linux")]
mod imp {
    use std::fs::File;
    use std::io;

    use rustix::io::Errno;
    use rustix::ioctl::{Getter, Setter, ioctl, opcode};

    use super::Cloned;

    /// `struct fsxattr` of linux/fs.h.
    #[repr(C)]
    struct Attributes {
        flags: u32,
        extent_size: u32,
        extents: u32,
        project: u32,
        cow_extent_size: u32,
        padding: [u8; 8],
    }

    /// `FS_XFLAG_COWEXTSIZE`: the size of copies is given.
    const COW_EXTENT_SIZE: u32 = 0x0001_0000;
    /// The magic number of XFS, from linux/magic.h.
    const XFS: i64 = 0x5846_5342;
    const GET: rustix::ioctl::Opcode = opcode::read::<Attributes>(b'X', 31);
    const SET: rustix::ioctl::Opcode = opcode::write::<Attributes>(b'X', 32);

    pub(super) fn clone(source: &File, target: &File, unit: u32) -> io::Result<Cloned> {
        match rustix::fs::ioctl_ficlone(target, source) {
            Ok(()) => {}
            // ENOTTY and EINVAL come from filesystems that know nothing of this, or not for such files.
            Err(
                error @ (Errno::OPNOTSUPP | Errno::NOTTY | Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::PERM),
            ) => return Ok(Cloned::Unavailable(error.into())),
            Err(error) => return Err(error.into()),
        }
        if i64::try_from(rustix::fs::fstatfs(target)?.f_type).is_ok_and(|kind| kind == XFS) {
            set_unit(target, unit)?;
        }
        Ok(Cloned::Yes)
    }

    fn set_unit(file: &File, unit: u32) -> io::Result<()> {
        // SAFETY: needed because no library has a safe call. It is sound because the kernel fills a structure of the
        // layout that it expects, all of whose values are valid.
        let mut attributes = unsafe { ioctl(file, Getter::<GET, Attributes>::new()) }?;
        attributes.flags |= COW_EXTENT_SIZE;
        attributes.cow_extent_size = unit;
        // SAFETY: needed because no library has a safe call. It is sound because the kernel only reads the structure,
        // which has the layout that it expects and lives until the call returns.
        unsafe { ioctl(file, Setter::<SET, Attributes>::new(attributes)) }?;
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::fs::File;
    use std::io;

    use super::Cloned;

    pub(super) fn clone(_source: &File, _target: &File, _unit: u32) -> io::Result<Cloned> {
        Ok(Cloned::Unavailable(io::ErrorKind::Unsupported.into()))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::{read, write};

    use super::{Cloned, FileSource, clone_file};

    #[test]
    fn a_clone_is_equal_or_the_file_stays_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let (from, into) = (directory.path().join("from"), directory.path().join("into"));
        write(&from, [7; 10_000]).unwrap();
        write(&into, [1; 10]).unwrap();
        let sources = (FileSource::Path(from.clone()), FileSource::Path(into.clone()));
        match clone_file(&sources.0, &sources.1, 4096).unwrap() {
            Cloned::Yes => assert_eq!(read(&into).unwrap(), read(&from).unwrap()),
            Cloned::Unavailable(error) => {
                assert!(error.raw_os_error().is_some());
                assert_eq!(read(&into).unwrap(), [1; 10]);
            }
        }
    }
}
