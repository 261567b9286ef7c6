//! Advisory locks on whole files (flock). They keep those who would write into a snapshot from those who map it.
//!
//! A flock lock belongs to the open file description: the lock lasts until the last duplicate of the descriptor is
//! closed, in whichever process that is. So a process that was handed the descriptor holds the lock for as long as it
//! lives.

use std::fs::File;
use std::io;

use super::source::FileSource;
use crate::error::{EngineError, Result};

/// The lock that an open file description is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Others may share the lock.
    Shared,
    /// No other description may hold a lock.
    Exclusive,
    /// The description gives its lock up.
    None,
}

/// The outcome of a request for a lock, which never waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locked {
    Yes,
    /// Another open file description holds a lock that excludes this one.
    Busy,
    /// The filesystem or the platform has no such locks.
    Unavailable,
}

/// Takes, converts or gives up the lock of the description behind `source`. Only a descriptor keeps its lock: the lock
/// of a path is gone when this returns.
pub fn lock(source: &FileSource, lock: Lock) -> Result<Locked> {
    // A duplicate has the same description, and the lock outlives every duplicate but the last.
    let locked = source.open(false).and_then(|file| lock_file(&file, lock));
    locked.map_err(|error| EngineError::io("locking the file", error).on(source.name()))
}

/// Does the same for an open file.
#[cfg(unix)]
pub(super) fn lock_file(file: &File, lock: Lock) -> io::Result<Locked> {
    use rustix::fs::{FlockOperation, flock};
    use rustix::io::Errno;
    let operation = match lock {
        Lock::Shared => FlockOperation::NonBlockingLockShared,
        Lock::Exclusive => FlockOperation::NonBlockingLockExclusive,
        Lock::None => FlockOperation::NonBlockingUnlock,
    };
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(Locked::Yes),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Locked::Busy),
            // Network filesystems lock through byte ranges and want a writable descriptor (BADF) for an exclusive lock.
            Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::BADF) => {
                return Ok(Locked::Unavailable);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(not(unix))]
pub(super) fn lock_file(_file: &File, _lock: Lock) -> io::Result<Locked> {
    Ok(Locked::Unavailable)
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use super::{FileSource, Lock, Locked, lock};

    fn take(file: &File, wanted: Lock) -> Locked {
        lock(&FileSource::Fd(file.as_raw_fd()), wanted).expect("flock works here")
    }

    #[test]
    fn shared_locks_exclude_an_exclusive_one_until_the_last_duplicate_is_closed() {
        let named = tempfile::NamedTempFile::new().unwrap();
        let [first, second, writer] = [(); 3].map(|()| File::open(named.path()).unwrap());
        assert_eq!(take(&first, Lock::Shared), Locked::Yes);
        assert_eq!(take(&second, Lock::Shared), Locked::Yes);
        assert_eq!(take(&writer, Lock::Exclusive), Locked::Busy);
        assert_eq!(take(&second, Lock::None), Locked::Yes);
        let duplicate = first.try_clone().unwrap();
        drop(first);
        assert_eq!(take(&writer, Lock::Exclusive), Locked::Busy);
        drop(duplicate);
        assert_eq!(take(&writer, Lock::Exclusive), Locked::Yes);
        assert_eq!(take(&second, Lock::Shared), Locked::Busy);
    }

    #[test]
    fn a_descriptor_that_is_closed_is_an_error() {
        assert!(lock(&FileSource::Fd(-1), Lock::Shared).is_err());
    }
}
