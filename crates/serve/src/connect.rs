//! The connections to the QEMU that waits.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use mapped_ram_engine::EngineError;
use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::FileSource;
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::alarm::Alarm;

/// The time between two tries.
const BETWEEN: Duration = Duration::from_micros(200);

/// Connects, or duplicates the socket that is connected. Waits for QEMU to listen.
pub(crate) async fn connected(source: &FileSource, timeout: Duration, alarm: &mut Alarm) -> Result<OwnedFd> {
    let name = source.name();
    let FileSource::Path(path) = source else {
        let file = source.open(false);
        let failed = |error| EngineError::io("using the socket", error).on(name);
        return file.map(OwnedFd::from).map_err(failed);
    };
    let failed = |error| EngineError::io("connecting to QEMU", error).on(name.clone());
    let last_try = Instant::now().checked_add(timeout);
    loop {
        let error = match try_connect(path) {
            Ok(socket) => return Ok(socket),
            Err(error) => error,
        };
        // There is no socket yet, or nobody listens yet, or too many wait already.
        let early = matches!(
            error,
            Errno::NOENT | Errno::CONNREFUSED | Errno::AGAIN | Errno::INTR
        );
        let now = Instant::now();
        if !early || last_try.is_some_and(|last| now >= last) {
            return Err(failed(io::Error::from(error)));
        }
        poll_fn(|context| alarm.poll_until(now + BETWEEN, context))
            .await
            .map_err(failed)?;
    }
}

/// Connects to the socket that is there by now. The directory may be QEMU's, which could put a link to the socket of
/// somebody else there, and have the guest's memory sent to that.
fn try_connect(path: &Path) -> rustix::io::Result<OwnedFd> {
    let place = open(
        path,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    if FileType::from_raw_mode(fstat(&place)?.st_mode) != FileType::Socket {
        return Err(Errno::NOTSOCK);
    }
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}", place.as_raw_fd()))?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &address)?;
    Ok(socket)
}
