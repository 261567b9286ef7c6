//! The connections to the QEMU that waits.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::FileSource;
use mapped_ram_engine::{EngineError, ErrorKind};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::alarm::Alarm;

/// The time between two tries.
const BETWEEN: Duration = Duration::from_millis(1);

/// Connects, or duplicates the socket that is connected. Waits for QEMU to listen.
pub(crate) async fn connected(source: &FileSource, timeout: Duration, alarm: &mut Alarm) -> Result<OwnedFd> {
    let name = source.name();
    let FileSource::Path(path) = source else {
        let file = source.open(false);
        let failed = |error| EngineError::io("using the socket", error).on(name);
        return file.map(OwnedFd::from).map_err(failed);
    };
    let failed = |error| EngineError::io("connecting to QEMU", error).on(name.clone());
    let address = SocketAddrUnix::new(path).map_err(|_| {
        let words = "the path of a unix socket: expected 107 bytes or less";
        EngineError::new(ErrorKind::InvalidArgument, words).on(name.clone())
    })?;
    let last_try = Instant::now().checked_add(timeout);
    loop {
        let error = match try_connect(&address) {
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

fn try_connect(address: &SocketAddrUnix) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, address)?;
    Ok(socket)
}
