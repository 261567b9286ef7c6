//! Work that may block, off Node's own thread.

use mapped_ram_engine::error::Result;
use mapped_ram_engine::{EngineError, ErrorKind};

/// Runs `work` on a thread that may block. `doing` is for the error that stands for a panic, as in "making holes".
pub(crate) async fn blocking<T: Send + 'static>(
    doing: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let gone = |_| {
        let message = format!("a panic while {doing}");
        Err(EngineError::new(ErrorKind::Internal, message))
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(gone)
}
