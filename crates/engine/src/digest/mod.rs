//! BLAKE3 digests of a snapshot: of its pages, piece by piece, and of everything else.

mod pieces;
mod ranges;

pub use pieces::{PieceDigest, PieceDigests};
pub use ranges::digest_ranges;

/// The bytes of a digest.
pub const DIGEST_BYTES: usize = blake3::OUT_LEN;

pub type Digest = [u8; DIGEST_BYTES];

/// Digests bytes at hand.
pub fn digest_bytes(bytes: &[u8]) -> Digest {
    *blake3::hash(bytes).as_bytes()
}
