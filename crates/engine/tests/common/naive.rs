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
