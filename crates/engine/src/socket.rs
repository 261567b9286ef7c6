//! Descriptors handed to another process over a unix socket (SCM_RIGHTS).

use std::io;

use crate::error::{EngineError, ErrorKind, Result};

/// A descriptor's number: the type of `RawFd`, which not every platform has.
pub type Descriptor = i32;

/// The kernel's own limit for one message (SCM_MAX_FD).
pub const MAX_DESCRIPTORS: usize = 253;

/// Says whether descriptors can travel through `socket`: they can when it is a unix socket.
pub fn passes_descriptors(socket: Descriptor) -> bool {
    sys::is_unix_socket(socket)
}

/// Finds the process at the other end of a unix socket (SO_PEERCRED): the one that listened where it is connected to,
/// or that made the pair it belongs to.
///
/// `None` where nobody can tell: for another kind of socket, on another platform, and for a process that this one's pid
/// namespace does not have.
pub fn peer_pid(socket: Descriptor) -> Option<u32> {
    if !passes_descriptors(socket) {
        return None;
    }
    sys::peer_pid(socket)
}

/// Sends `bytes` and, with the first of them, `descriptors`. Never waits.
///
/// Returns how many bytes the socket took. 0 means that the socket is full and nothing was sent. From 1 on the
/// descriptors are on their way and must not be sent again with the rest.
pub fn send_with_descriptors(socket: Descriptor, bytes: &[u8], descriptors: &[Descriptor]) -> Result<usize> {
    check(socket, bytes, descriptors)?;
    loop {
        match sys::sendmsg(socket, bytes, descriptors) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            sent => return sent.map_err(|error| EngineError::io("handing over a descriptor", error)),
        }
    }
}

fn check(socket: Descriptor, bytes: &[u8], descriptors: &[Descriptor]) -> Result<()> {
    let invalid = |words: String| Err(EngineError::new(ErrorKind::InvalidArgument, words));
    if !passes_descriptors(socket) {
        let words = "only a unix socket can hand over descriptors, and only on Linux";
        return Err(EngineError::new(ErrorKind::Unsupported, words));
    }
    if bytes.is_empty() {
        return invalid("descriptors travel with at least one byte".to_owned());
    }
    if descriptors.is_empty() || descriptors.len() > MAX_DESCRIPTORS {
        let found = descriptors.len();
        return invalid(format!(
            "1 to {MAX_DESCRIPTORS} descriptors can be handed over at once, not {found}"
        ));
    }
    Ok(())
}

#[cfg(target_os = "linux")]
mod sys {
    use std::io::{self, IoSlice};
    use std::mem::{MaybeUninit, size_of_val};

    use rustix::cmsg_space;
    use rustix::net::sockopt::socket_domain;
    use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

    use super::{Descriptor, MAX_DESCRIPTORS};
    use crate::descriptor::borrow;

    pub(super) fn is_unix_socket(socket: Descriptor) -> bool {
        let domain = borrow(&socket).and_then(|socket| Ok(socket_domain(socket)?));
        domain.is_ok_and(|domain| domain == AddressFamily::UNIX)
    }

    pub(super) fn peer_pid(socket: Descriptor) -> Option<u32> {
        let mut credentials = libc::ucred {
            pid: 0,
            uid: 0,
            gid: 0,
        };
        let mut length = libc::socklen_t::try_from(size_of_val(&credentials)).ok()?;
        let (value, size) = (&raw mut credentials, &raw mut length);
        // SAFETY: needed because std shows no credentials yet, and rustix holds them with a process id that must not be
        // 0, which the kernel gives for a process of another pid namespace. It is sound because the kernel writes at
        // most `length` bytes, the size of `credentials`, which consists of integers, and both outlive the call. For a
        // number that is closed, or no socket, the kernel only answers with an error.
        let answer =
            unsafe { libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_PEERCRED, value.cast(), size) };
        // 0 stands for a process that this one cannot see.
        let pid = u32::try_from(credentials.pid).ok()?;
        (answer == 0 && pid > 0).then_some(pid)
    }

    pub(super) fn sendmsg(socket: Descriptor, bytes: &[u8], descriptors: &[Descriptor]) -> io::Result<usize> {
        let descriptors = descriptors.iter().map(borrow).collect::<io::Result<Vec<_>>>()?;
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = rustix::net::sendmsg(borrow(&socket)?, &[IoSlice::new(bytes)], &mut control, flags)?;
        Ok(sent)
    }
}

/// Other platforms do not have this yet.
#[cfg(not(target_os = "linux"))]
mod sys {
    use std::io;

    use super::Descriptor;

    pub(super) fn is_unix_socket(_socket: Descriptor) -> bool {
        false
    }

    pub(super) fn peer_pid(_socket: Descriptor) -> Option<u32> {
        None
    }

    pub(super) fn sendmsg(
        _socket: Descriptor,
        _bytes: &[u8],
        _descriptors: &[Descriptor],
    ) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_full_socket_takes_nothing_and_does_not_wait() {
        let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
        let file = File::open("/dev/null").expect("/dev/null");
        let chunk = [b'x'; 65536];
        let mut total = 0;
        loop {
            let sent = send_with_descriptors(ours.as_raw_fd(), &chunk, &[file.as_raw_fd()]);
            match sent.expect("a send") {
                0 => break,
                sent => total += sent,
            }
        }
        assert!(total > 0);
        let mut byte = [0];
        assert_eq!(theirs.read(&mut byte).expect("a read"), 1);
    }

    #[test]
    fn a_unix_socket_tells_who_is_at_its_other_end() {
        let (ours, _theirs) = UnixStream::pair().expect("a socket pair");
        assert_eq!(peer_pid(ours.as_raw_fd()), Some(std::process::id()));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let tcp = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        assert_eq!(peer_pid(tcp.as_raw_fd()), None);
        assert_eq!(peer_pid(-1), None);
    }

    #[test]
    fn what_cannot_carry_descriptors_is_unsupported() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let tcp = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let file = File::open("/dev/null").expect("/dev/null");
        for socket in [tcp.as_raw_fd(), file.as_raw_fd(), -1] {
            assert!(!passes_descriptors(socket));
            let refused = send_with_descriptors(socket, b"x", &[file.as_raw_fd()]);
            assert_eq!(refused.expect_err("refused").kind(), ErrorKind::Unsupported);
        }
    }

    #[test]
    fn a_number_that_is_no_descriptor_is_an_error() {
        let (ours, _theirs) = UnixStream::pair().expect("a socket pair");
        let refused = send_with_descriptors(ours.as_raw_fd(), b"x", &[-1]).expect_err("refused");
        let errno = refused.io_source().and_then(io::Error::raw_os_error);
        assert_eq!(errno, Some(libc::EBADF));
    }

    #[test]
    fn no_bytes_no_descriptors_or_too_many_are_refused() {
        let (ours, _theirs) = UnixStream::pair().expect("a socket pair");
        let file = File::open("/dev/null").expect("/dev/null");
        let many = [file.as_raw_fd(); MAX_DESCRIPTORS + 1];
        for (bytes, descriptors) in [(&b""[..], &many[..1]), (b"x", &many[..0]), (b"x", &many[..])] {
            let refused = send_with_descriptors(ours.as_raw_fd(), bytes, descriptors);
            assert_eq!(refused.expect_err("refused").kind(), ErrorKind::InvalidArgument);
        }
        let most = send_with_descriptors(ours.as_raw_fd(), b"x", &many[..MAX_DESCRIPTORS]);
        assert_eq!(most.expect("a send"), 1);
    }
}
