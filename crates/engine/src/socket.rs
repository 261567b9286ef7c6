//! Hands open descriptors to another process over a unix socket (SCM_RIGHTS).

use std::io;

use crate::error::{EngineError, ErrorKind, Result};

/// A descriptor's number: RawFd where the platform has it.
pub type Descriptor = i32;

/// The kernel's own limit for one message (SCM_MAX_FD).
pub const MAX_DESCRIPTORS: usize = 253;

/// Whether descriptors can travel through this one: it is a unix socket.
pub fn passes_descriptors(socket: Descriptor) -> bool {
    sys::is_unix_socket(socket)
}

/// The process that listened where a unix socket is connected to, or that made the pair it is one of: SO_PEERCRED.
///
/// None where nobody can tell: no unix socket, another platform, or a process that this one's pid namespace does not have.
pub fn peer_pid(socket: Descriptor) -> Option<u32> {
    if !passes_descriptors(socket) {
        return None;
    }
    sys::peer_pid(socket)
}

/// Sends `bytes` and, with the first of them, `descriptors`. Never waits.
///
/// Returns how many bytes were taken. 0 means the socket is full and nothing was sent. From 1 on the descriptors are on
/// their way and must not be sent again with the rest.
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
    use std::io;
    use std::mem::{size_of, size_of_val};

    use super::{Descriptor, MAX_DESCRIPTORS};

    /// Room for the header and the most descriptors that one message carries.
    #[repr(C)]
    struct Control {
        header: libc::cmsghdr,
        descriptors: [Descriptor; MAX_DESCRIPTORS],
    }

    // The header's size is a multiple of the alignment that its successor needs, so the descriptors stand right behind
    // it, where the kernel looks for them.
    const _: () = assert!(size_of::<libc::cmsghdr>().is_multiple_of(size_of::<usize>()));

    pub(super) fn is_unix_socket(socket: Descriptor) -> bool {
        let mut domain: libc::c_int = 0;
        let Ok(mut length) = libc::socklen_t::try_from(size_of_val(&domain)) else {
            return false;
        };
        let (value, size) = (&raw mut domain, &raw mut length);
        // SAFETY: needed because std has no getsockopt. The kernel writes at most `length` bytes, the size of `domain`, and
        // both outlive the call. For a number that is closed, or no socket, it only answers with an error.
        let answer =
            unsafe { libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_DOMAIN, value.cast(), size) };
        answer == 0 && domain == libc::AF_UNIX
    }

    pub(super) fn peer_pid(socket: Descriptor) -> Option<u32> {
        let mut credentials = libc::ucred {
            pid: 0,
            uid: 0,
            gid: 0,
        };
        let mut length = libc::socklen_t::try_from(size_of_val(&credentials)).ok()?;
        let (value, size) = (&raw mut credentials, &raw mut length);
        // SAFETY: needed because std shows no credentials yet. The kernel writes at most `length` bytes, the size of
        // `credentials`, which consists of integers, and both outlive the call. For a number that is closed, or no socket,
        // it only answers with an error.
        let answer =
            unsafe { libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_PEERCRED, value.cast(), size) };
        // 0 stands for a process that cannot be seen from here.
        let pid = u32::try_from(credentials.pid).ok()?;
        (answer == 0 && pid > 0).then_some(pid)
    }

    pub(super) fn sendmsg(socket: Descriptor, bytes: &[u8], descriptors: &[Descriptor]) -> io::Result<usize> {
        let length = u32::try_from(size_of_val(descriptors)).map_err(io::Error::other)?;
        let mut control = Control {
            // SAFETY: needed because musl's cmsghdr has private padding, so no literal can make one. It consists of integers,
            // for which zero is a value.
            header: unsafe { std::mem::zeroed() },
            descriptors: [-1; MAX_DESCRIPTORS],
        };
        control.header.cmsg_level = libc::SOL_SOCKET;
        control.header.cmsg_type = libc::SCM_RIGHTS;
        // SAFETY: needed because libc marks its header arithmetic unsafe. It is an addition; `length` is about 1 KiB.
        control.header.cmsg_len = unsafe { libc::CMSG_LEN(length) } as _;
        for (slot, descriptor) in control.descriptors.iter_mut().zip(descriptors) {
            *slot = *descriptor;
        }
        let mut vector = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        // SAFETY: needed because musl's msghdr has private padding, so no literal can make one. It consists of integers and
        // raw pointers, for which zero is a value.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = control.header.cmsg_len as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: needed because stable std sends no descriptors. `message` points at `vector`, which spans `bytes`, and at
        // `control`, of which cmsg_len bytes are initialised: the caller's check limits the descriptors to its array. All
        // of them outlive the call, and sendmsg only reads. For numbers that are no descriptors it answers EBADF.
        let sent = unsafe { libc::sendmsg(socket, &raw const message, flags) };
        // Only -1 is negative, and means that the reason is in errno.
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// Elsewhere this is not built yet.
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
