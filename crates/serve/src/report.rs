//! The account of a server that has done its work.

use std::time::Duration;

use crate::latency::Quantiles;

/// The account of a server that has done its work. Times count from its start.
#[derive(Debug, Clone, Default)]
pub struct ServeReport {
    /// Host pages that QEMU asked for.
    pub requests: u64,
    /// Those of them that were sent, or under way, already.
    pub repeated: u64,
    /// Host pages that were sent because QEMU asked for them, zero pages among them.
    pub answered_pages: u64,
    /// Those of them that had nothing but zeros.
    pub zero_pages: u64,
    /// Bytes of content that were sent unasked.
    pub pushed_bytes: u64,
    /// Bytes of content that were sent because QEMU asked for them.
    pub answered_bytes: u64,
    /// Everything that went through the sockets.
    pub socket_bytes: u64,
    pub connected: Duration,
    /// The time of PONG 3, or of RESUME_ACK.
    pub loaded: Duration,
    /// The time at which all content was sent.
    pub pushed: Option<Duration>,
    /// The time at which QEMU said that it has all.
    pub complete: Duration,
    /// From a request's arrival to the last byte of its answer.
    pub answer_microseconds: Quantiles,
}
