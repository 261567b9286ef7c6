//! What a caller may choose of a run: who executes its requests, and whether they bypass the page cache.

/// Who executes the requests. Only `Auto` falls back, and the report says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IoEngine {
    #[default]
    Auto,
    IoUring,
    Threads,
}

/// Whether the channels bypass the page cache. Only `Auto` falls back, and the report says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DirectIo {
    #[default]
    Auto,
    On,
    Off,
}
