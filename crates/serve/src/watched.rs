//! A descriptor whose readiness the runtime watches.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the runtime watch a descriptor of our own.
pub(crate) fn watched(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: needed because tokio watches sockets of any family, and timers, only this way. The ways that it calls safe
    // take unix sockets alone, and only if their other owners bear O_NONBLOCK, or count time in whole milliseconds. It is
    // sound because an `OwnedFd` has the same open descriptor from here until it is dropped, and `AsyncFd` gives the
    // registration up before it drops the descriptor.
    let watched = unsafe { AsyncFd::register_with_interest(fd, interest) };
    watched.map_err(Into::into)
}
