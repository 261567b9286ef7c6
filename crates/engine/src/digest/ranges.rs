//! One digest for stretches of a file, for all that a snapshot holds beside its pages.

use std::ops::Range;

use super::Digest;
use crate::cancel::CancelToken;
use crate::error::{EngineError, ErrorKind, Result};
use crate::file::{FileSource, positional};

const PIECE: usize = 1 << 20;

/// Digests the bytes of `ranges`, one range after the other, with BLAKE3.
/// # Errors
/// when the file ends before a range does, cannot be read, or the token is cancelled
pub fn digest_ranges(
    source: &FileSource,
    name: &str,
    ranges: &[Range<u64>],
    cancel: &CancelToken,
) -> Result<Digest> {
    // The caller's descriptor may be open for writing only.
    let (file, _) = source
        .reopen_or_duplicate(false)
        .map_err(|error| EngineError::io("opening the file", error).on(name))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; PIECE];
    for range in ranges {
        let mut offset = range.start;
        while offset < range.end {
            if cancel.is_cancelled() {
                return Err(EngineError::new(ErrorKind::Cancelled, "the digest was cancelled").on(name));
            }
            let wanted = usize::try_from(range.end - offset)
                .unwrap_or(usize::MAX)
                .min(PIECE);
            let bytes = &mut buffer[..wanted];
            let found = positional::read_full_at(&file, bytes, offset)
                .map_err(|error| EngineError::io("reading the file", error).at(name, offset))?;
            if found < wanted {
                let message = format!("the file ended: expected {wanted} more bytes, found {found}");
                return Err(EngineError::new(ErrorKind::Truncated, message).at(name, offset));
            }
            hasher.update(bytes);
            offset += wanted as u64;
        }
    }
    Ok(*hasher.finalize().as_bytes())
}
