//! Descriptors for another process, over a socket that Node has open.

use mapped_ram_engine::socket;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use crate::error::BindingError;

/// The outcome has exactly one of `error` and `sent`.
#[napi(object, object_from_js = false)]
pub struct BindingSent {
    pub error: Option<BindingError>,
    /// The number of bytes that the socket took; 0 when it is full and nothing was sent.
    pub sent: Option<u32>,
}

/// Says whether descriptors can travel through the socket: they can when it is a unix socket.
#[napi]
pub fn passes_descriptors(socket_fd: i32) -> bool {
    socket::passes_descriptors(socket_fd)
}

/// Finds the process that listened where a unix socket is connected to; null where nobody can tell.
#[napi]
pub fn peer_pid(socket_fd: i32) -> Option<u32> {
    socket::peer_pid(socket_fd)
}

/// Sends bytes and, with the first of them, descriptors. Never waits. Nobody else may write to the socket meanwhile.
#[napi]
pub fn send_with_descriptors(socket_fd: i32, bytes: Uint8Array, fds: Vec<i32>) -> BindingSent {
    match socket::send_with_descriptors(socket_fd, &bytes, &fds) {
        Ok(sent) => BindingSent {
            error: None,
            // The kernel takes less than 2 GiB at once.
            sent: Some(u32::try_from(sent).unwrap_or(u32::MAX)),
        },
        Err(error) => BindingSent {
            error: Some(error.into()),
            sent: None,
        },
    }
}
