//! Descriptors that callers own and name by their numbers.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

/// Lends a caller's descriptor to a system call, for as long as its number is borrowed.
pub(crate) fn borrow(fd: &RawFd) -> io::Result<BorrowedFd<'_>> {
    if *fd < 0 {
        return Err(io::Error::from_raw_os_error(
            rustix::io::Errno::BADF.raw_os_error(),
        ));
    }
    // SAFETY: needed because callers across the Node boundary have only numbers. It is sound because the number is not
    // negative, and every use is one system call that asks the kernel: for a descriptor that is closed it answers
    // EBADF, and nothing else here relies on the descriptor being open.
    Ok(unsafe { BorrowedFd::borrow_raw(*fd) })
}
