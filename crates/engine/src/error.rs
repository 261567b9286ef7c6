//! One public error: a kind to match on, the context to understand it, the cause below it.
//!
//! ```text
//! EngineError
//! ├── kind     → the binding's ERR_MAPPED_RAM_* code
//! ├── message  → words
//! ├── path, offset
//! └── source   → std::io::Error (errno for Node's ENOSPC-style causes)
//! ```

use std::fmt;
use std::io;

/// The kind of an error, for callers to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    Alignment,
    Cancelled,
    Closed,
    Corrupt,
    DirectIoUnavailable,
    EngineUnavailable,
    Exists,
    Internal,
    InvalidArgument,
    Io,
    OutOfRange,
    Truncated,
    Unsupported,
}

/// The engine's error. Its text never repeats the cause: a reporter walks `source()`.
#[derive(Debug)]
pub struct EngineError {
    kind: ErrorKind,
    message: String,
    path: Option<String>,
    offset: Option<u64>,
    source: Option<io::Error>,
}

/// The result of the engine's functions.
pub type Result<T> = std::result::Result<T, EngineError>;

impl EngineError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            path: None,
            offset: None,
            source: None,
        }
    }

    /// Makes an I/O error: `doing` names the step, as in "writing pages".
    pub fn io(doing: impl Into<String>, source: io::Error) -> Self {
        Self {
            source: Some(source),
            ..Self::new(ErrorKind::Io, doing)
        }
    }

    #[must_use]
    pub fn at(mut self, path: impl Into<String>, offset: u64) -> Self {
        self.path = Some(path.into());
        self.offset = Some(offset);
        self
    }

    #[must_use]
    pub fn on(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    #[must_use]
    pub fn caused_by(mut self, source: io::Error) -> Self {
        self.source = Some(source);
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    pub fn offset(&self) -> Option<u64> {
        self.offset
    }

    /// Turns into the OS error beneath; an error without one turns into its words.
    pub fn into_io(self) -> io::Error {
        self.source.unwrap_or_else(|| io::Error::other(self.message))
    }

    /// The OS error beneath, if there is one.
    pub fn io_source(&self) -> Option<&io::Error> {
        self.source.as_ref()
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{path}")?;
            if let Some(offset) = self.offset {
                write!(f, ", offset {offset}")?;
            }
            write!(f, ": ")?;
        }
        write!(f, "{}", self.message)
    }
}

impl std::error::Error for EngineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
