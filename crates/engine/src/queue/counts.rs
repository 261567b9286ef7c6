//! The requests of queues in numbers, which do not depend on the machine's speed.

use std::ops::AddAssign;

/// Counts of the requests of one channel, or of all channels of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// The requests that queues were given. The rest of a request that was cut short, and one that is tried again,
    /// count as further ones.
    pub requests: u64,
    /// The requests among them that went through the direct descriptor.
    pub direct: u64,
    /// The bytes that the requests moved, those of bitmaps and of clear pages that came along included.
    pub bytes: u64,
    /// The system calls that the queues made for the requests.
    pub submissions: u64,
}

impl AddAssign for RequestCounts {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.direct += other.direct;
        self.bytes += other.bytes;
        self.submissions += other.submissions;
    }
}
