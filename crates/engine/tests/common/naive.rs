//! Save and load as one would explain them: a page, its bit, the next page.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::{Block, size};

pub(crate) fn save(memory: &File, snapshot: &File, block: &Block) {
    for byte in 0..block.bitmap_length() {
        snapshot
            .write_all_at(&[0], block.bitmap_offset + byte)
            .expect("a byte of the bitmap");
    }
    let mut content = vec![0; size(block.page_size)];
    for page in 0..block.pages.len() as u64 {
        memory
            .read_exact_at(&mut content, block.memory_offset + page * block.page_size)
            .expect("a page of memory");
        if block.store_zero_pages || content.iter().any(|byte| *byte != 0) {
            snapshot
                .write_all_at(&content, block.pages_offset + page * block.page_size)
                .expect("a page of the snapshot");
            let mut byte = bitmap_byte(snapshot, block, page);
            byte |= 1 << (page % 8);
            snapshot
                .write_all_at(&[byte], block.bitmap_offset + page / 8)
                .expect("a byte of the bitmap");
        }
    }
}

pub(crate) fn load(snapshot: &File, memory: &File, block: &Block) {
    let end = block.memory_offset + block.length();
    if memory.metadata().expect("its size").len() < end {
        memory.set_len(end).expect("longer memory");
    }
    let mut content = vec![0; size(block.page_size)];
    for page in 0..block.pages.len() as u64 {
        if is_set(snapshot, block, page) {
            snapshot
                .read_exact_at(&mut content, block.pages_offset + page * block.page_size)
                .expect("a page of the snapshot");
        } else if block.memory_is_zero {
            continue;
        } else {
            content.fill(0);
        }
        memory
            .write_all_at(&content, block.memory_offset + page * block.page_size)
            .expect("a page of memory");
    }
}

/// Little-endian 64-bit words put bit i of the block at bit i % 8 of byte i / 8.
pub(crate) fn is_set(snapshot: &File, block: &Block, page: u64) -> bool {
    bitmap_byte(snapshot, block, page) >> (page % 8) & 1 == 1
}

fn bitmap_byte(snapshot: &File, block: &Block, page: u64) -> u8 {
    let mut byte = [0];
    snapshot
        .read_exact_at(&mut byte, block.bitmap_offset + page / 8)
        .expect("a byte of the bitmap");
    byte[0]
}

/// Compares as one would explain it: for each page 0 equal, 1 changed, 2 became zero, 3 became data.
pub(crate) fn compare(
    page_size: u64,
    pages: u64,
    left: impl Fn(u64) -> Option<Vec<u8>>,
    right: impl Fn(u64) -> Option<Vec<u8>>,
) -> Vec<u8> {
    let zero = vec![0; size(page_size)];
    (0..pages)
        .map(|page| {
            let left = left(page).unwrap_or_else(|| zero.clone());
            let right = right(page).unwrap_or_else(|| zero.clone());
            match (left == zero, right == zero) {
                _ if left == right => 0,
                (true, _) => 3,
                (_, true) => 2,
                _ => 1,
            }
        })
        .collect()
}
