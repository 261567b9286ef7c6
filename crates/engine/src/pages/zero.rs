//! Zero-page detection.

/// Says whether every byte is zero. It stops at the first 256-byte piece that is not, so data pages cost almost
/// nothing.
pub fn is_zero(bytes: &[u8]) -> bool {
    let (pieces, rest) = bytes.as_chunks::<256>();
    // The OR over a piece of fixed size has no early exit inside, which lets the compiler use vector registers.
    pieces
        .iter()
        .all(|piece| piece.iter().fold(0, |seen, byte| seen | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::is_zero;

    #[test]
    fn every_single_byte_is_seen() {
        for length in [0, 1, 255, 256, 257, 4096, 5000] {
            let mut bytes = vec![0; length];
            assert!(is_zero(&bytes), "{length} zero bytes");
            for at in 0..length {
                bytes[at] = 1;
                assert!(!is_zero(&bytes), "byte {at} of {length}");
                bytes[at] = 0;
            }
        }
    }
}
