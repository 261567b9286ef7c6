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
/// a time, or a block where that is larger; other filesystems go by their blocks anyway. A filesystem that does not want
/// to know copies as it likes.
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

/// The bytes that are copied at once: a multiple of the blocks in which a file lies. 0 blocks are not known.
#[cfg(target_os = "linux")]
fn copied_at_once(unit: u32, block: u64) -> u32 {
    let whole = u64::from(unit).checked_next_multiple_of(block);
    whole.and_then(|whole| u32::try_from(whole).ok()).unwrap_or(unit)
}

#[cfg(target_os = "linux")]
mod imp {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;

    use rustix::io::Errno;

    use super::{Cloned, copied_at_once};

    /// `struct fsxattr` of linux/fs.h.
    #[repr(C)]
    #[derive(Default)]
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
    /// `FS_XFLAG_REALTIME`: the file lies in extents of another size than the filesystem's blocks.
    const REALTIME: u32 = 1;
    /// The magic number of XFS, from linux/magic.h.
    const XFS: u64 = 0x5846_5342;
    /// `FS_IOC_FSGETXATTR` and `FS_IOC_FSSETXATTR`, which are the same on every architecture that this package is built
    /// for.
    const GET: libc::c_ulong = 0x801c_581f;
    const SET: libc::c_ulong = 0x401c_5820;

    pub(super) fn clone(source: &File, target: &File, unit: u32) -> io::Result<Cloned> {
        match rustix::fs::ioctl_ficlone(target, source) {
            Ok(()) => {}
            // ENOTTY and EINVAL come from filesystems that know nothing of this, or not for such files.
            Err(
                error @ (Errno::OPNOTSUPP
                | Errno::NOTTY
                | Errno::XDEV
                | Errno::INVAL
                | Errno::NOSYS
                | Errno::PERM),
            ) => return Ok(Cloned::Unavailable(error.into())),
            Err(error) => return Err(error.into()),
        }
        match copy_no_more_than(target, unit) {
            Err(error) if !is_refusal(&error) => Err(error),
            _ => Ok(Cloned::Yes),
        }
    }

    /// Asks XFS to copy no more than `unit` bytes of `file` at once.
    fn copy_no_more_than(file: &File, unit: u32) -> io::Result<()> {
        let filesystem = rustix::fs::fstatfs(file)?;
        if u64::try_from(filesystem.f_type) != Ok(XFS) {
            return Ok(());
        }
        let mut attributes = Attributes::default();
        control(file, GET, &mut attributes)?;
        let block = u64::try_from(filesystem.f_bsize).unwrap_or(0);
        // Options of the mount raise this size for other files, and have nothing to do with blocks there.
        let extent = if attributes.flags & REALTIME == 0 {
            0
        } else {
            u64::try_from(rustix::fs::fstat(file)?.st_blksize).unwrap_or(0)
        };
        attributes.flags |= COW_EXTENT_SIZE;
        attributes.cow_extent_size = copied_at_once(unit, block.max(extent));
        control(file, SET, &mut attributes)
    }

    /// Says whether a filesystem only does not want to know how much it should copy.
    fn is_refusal(error: &io::Error) -> bool {
        matches!(
            Errno::from_io_error(error),
            Some(Errno::INVAL | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS)
        )
    }

    fn control(file: &File, operation: libc::c_ulong, attributes: &mut Attributes) -> io::Result<()> {
        // SAFETY: needed because no library has a safe call. It is sound because the kernel reads or fills one structure,
        // which has the layout that it expects and lives until the call returns.
        let result = unsafe {
            libc::syscall(
                libc::SYS_ioctl,
                file.as_raw_fd(),
                operation,
                std::ptr::from_mut(attributes),
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
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

    use super::{Cloned, FileSource, clone_file, copied_at_once};

    #[test]
    fn xfs_copies_whole_blocks() {
        for (unit, block, expected) in [
            (4096, 512, 4096),
            (4096, 4096, 4096),
            (4096, 8192, 8192),
            (4096, 65_536, 65_536),
            // Realtime extents may be of any number of blocks.
            (4096, 28_672, 28_672),
            (65_536, 28_672, 86_016),
            (4096, 0, 4096),
            (4096, 1 << 40, 4096),
        ] {
            assert_eq!(copied_at_once(unit, block), expected, "{unit} by {block}");
        }
    }

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
