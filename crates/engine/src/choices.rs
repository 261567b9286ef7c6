//! The choices that a caller has: who executes the requests of a run, and whether they bypass the page cache.

/// The engine that executes the requests. Only `Auto` falls back, and the report says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IoEngine {
    #[default]
    Auto,
    IoUring,
    Threads,
}

/// The choice whether channels bypass the page cache. Only `Auto` falls back, and the report says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DirectIo {
    #[default]
    Auto,
    On,
    Off,
}
