//! The bytes of RAM records, sections and commands (docs/format.md §1 and §2): all numbers are big-endian.

/// The size of a target page, and of every record's page.
pub const PAGE_SIZE: u64 = 4096;

pub(crate) const PAGE_BYTES: usize = 4096;
/// The head of a record: offset and flags.
pub(crate) const RECORD_HEAD: usize = 8;

pub(crate) const ZERO_PAGE: u64 = 0x02;
pub(crate) const WHOLE_PAGE: u64 = 0x08;
const END_OF_SECTION: u64 = 0x10;
pub(crate) const CONTINUE: u64 = 0x20;

const SECTION_PART: u8 = 2;
const SECTION_END: u8 = 3;
const SECTION_FOOTER: u8 = 0x7e;
const END_OF_STREAM: u8 = 0;
const COMMAND: u8 = 8;
const RESUME: u16 = 9;
const RECV_BITMAP: u16 = 10;

/// The head of a section with pages.
pub(crate) const PART_HEAD: usize = 5;
/// The end of the records and the footer of a section.
pub(crate) const PART_TAIL: usize = 13;

pub(crate) fn part_head(section_id: u32) -> [u8; PART_HEAD] {
    let mut head = [SECTION_PART; PART_HEAD];
    head[1..].copy_from_slice(&section_id.to_be_bytes());
    head
}

pub(crate) fn part_tail(section_id: u32) -> [u8; PART_TAIL] {
    let mut tail = [SECTION_FOOTER; PART_TAIL];
    tail[..8].copy_from_slice(&END_OF_SECTION.to_be_bytes());
    tail[9..].copy_from_slice(&section_id.to_be_bytes());
    tail
}

/// The last section of the RAM, which is empty, and the end of the stream.
pub(crate) fn end_of_ram(section_id: u32) -> Vec<u8> {
    let mut bytes = vec![SECTION_END];
    bytes.extend(section_id.to_be_bytes());
    bytes.extend(part_tail(section_id));
    bytes.push(END_OF_STREAM);
    bytes
}

/// The command that asks for the pages of a block that QEMU has. `name` is the block's name behind its length.
pub(crate) fn recv_bitmap(name: &[u8]) -> Vec<u8> {
    // A name has 256 bytes at most, with its length.
    let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
    let mut bytes = command(RECV_BITMAP, length);
    bytes.extend(name);
    bytes
}

pub(crate) fn resume() -> Vec<u8> {
    command(RESUME, 0)
}

fn command(number: u16, length: u16) -> Vec<u8> {
    let mut bytes = vec![COMMAND];
    bytes.extend(number.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}
