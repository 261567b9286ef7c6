//! The messages that QEMU sends back on the main connection (the return path).

use mapped_ram_engine::error::Result;
use mapped_ram_engine::{EngineError, ErrorKind};

use crate::block::Block;
use crate::records::PAGE_SIZE;

const SHUT: u16 = 1;
const PONG: u16 = 2;
const REQ_PAGES_ID: u16 = 3;
const REQ_PAGES: u16 = 4;
const RECV_BITMAP: u16 = 5;
const RESUME_ACK: u16 = 6;
const SWITCHOVER_ACK: u16 = 7;

const HEAD: usize = 4;
/// The end mark behind a bitmap.
const BITMAP_END: u64 = 0x0123_4567_89ab_cdef;
/// The value of RESUME_ACK.
const RESUMED: u32 = 1;

#[derive(Debug)]
pub(crate) enum Message {
    Shut(u32),
    Pong(u32),
    /// Host pages `first..end` of a block.
    Pages {
        block: usize,
        first: u64,
        end: u64,
    },
    /// The pages of the block that was asked about, one bit each.
    Placed(Vec<u8>),
    Resumed,
    /// One that means nothing to this server.
    Other,
}

/// The bytes that came back and are not understood yet.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    bytes: Vec<u8>,
    done: usize,
    /// The block of the last request.
    asked: Option<usize>,
    /// The block whose bitmap QEMU was asked for.
    pub(crate) bitmap_of: Option<usize>,
    /// RESUME is sent, and not answered yet.
    pub(crate) resuming: bool,
}

impl Inbound {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.done);
        self.done = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Gives the next message, if all of it is here. A message that is longer than any of its kind is an error before
    /// its bytes are waited for.
    pub(crate) fn next(&mut self, blocks: &[Block]) -> Result<Option<Message>> {
        let rest = &self.bytes[self.done..];
        let Some((&[kind_high, kind_low, length_high, length_low], behind)) =
            rest.split_first_chunk::<HEAD>()
        else {
            return Ok(None);
        };
        let kind = u16::from_be_bytes([kind_high, kind_low]);
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        check_length(kind, length)?;
        let Some(data) = behind.get(..length) else {
            return Ok(None);
        };
        let (message, more) = match kind {
            SHUT => (Message::Shut(be32(data)), 0),
            PONG => (Message::Pong(be32(data)), 0),
            REQ_PAGES_ID => {
                let block = named_block(&data[12..], blocks)?;
                self.asked = Some(block);
                (pages(block, data, blocks)?, 0)
            }
            REQ_PAGES => {
                let first = "a request that names its block, since it is the first";
                let block = self.asked.ok_or_else(|| corrupt(first, "one that does not"))?;
                (pages(block, data, blocks)?, 0)
            }
            RECV_BITMAP => match self.placed(data, &behind[length..], blocks)? {
                Some(bitmap) => (Message::Placed(bitmap.to_vec()), bitmap.len() + 16),
                None => return Ok(None),
            },
            RESUME_ACK if self.resuming && be32(data) == RESUMED => (Message::Resumed, 0),
            RESUME_ACK => {
                let expected = if self.resuming {
                    "RESUME_ACK 1"
                } else {
                    "no RESUME_ACK"
                };
                return Err(corrupt(expected, &format!("RESUME_ACK {}", be32(data))));
            }
            _ => (Message::Other, 0),
        };
        self.done += HEAD + length + more;
        match message {
            Message::Placed(_) => self.bitmap_of = None,
            Message::Resumed => self.resuming = false,
            _ => {}
        }
        Ok(Some(message))
    }

    /// Finds the bitmap behind the message that announces it: its size, its bytes, an end mark.
    fn placed<'a>(&self, data: &[u8], behind: &'a [u8], blocks: &[Block]) -> Result<Option<&'a [u8]>> {
        let named = named_block(data, blocks)?;
        match self.bitmap_of {
            Some(asked) if asked == named => {}
            Some(asked) => {
                let found = format!("that of {:?}", blocks[named].id);
                return Err(corrupt(
                    &format!("the bitmap of block {:?}", blocks[asked].id),
                    &found,
                ));
            }
            None => {
                return Err(corrupt(
                    "no bitmap",
                    &format!("that of block {:?}", blocks[named].id),
                ));
            }
        }
        let Some((size, behind)) = behind.split_first_chunk() else {
            return Ok(None);
        };
        let (size, expected) = (u64::from_be_bytes(*size), blocks[named].pages().div_ceil(64) * 8);
        if size != expected {
            let expected = format!("a bitmap of {expected} bytes for block {:?}", blocks[named].id);
            return Err(corrupt(&expected, &size.to_string()));
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let Some((bitmap, mark)) = behind.split_at_checked(size) else {
            return Ok(None);
        };
        match mark.first_chunk().map(|mark| u64::from_be_bytes(*mark)) {
            None => Ok(None),
            Some(BITMAP_END) => Ok(Some(bitmap)),
            Some(mark) => Err(corrupt("the end mark of a bitmap", &format!("0x{mark:x}"))),
        }
    }
}

fn check_length(kind: u16, length: usize) -> Result<()> {
    let (name, expected) = match kind {
        SHUT => ("SHUT", 4..=4),
        PONG => ("PONG", 4..=4),
        REQ_PAGES_ID => ("REQ_PAGES_ID", 14..=268),
        REQ_PAGES => ("REQ_PAGES", 12..=12),
        RECV_BITMAP => ("RECV_BITMAP", 2..=256),
        RESUME_ACK => ("RESUME_ACK", 4..=4),
        SWITCHOVER_ACK => ("SWITCHOVER_ACK", 0..=0),
        _ => return Err(corrupt("a message of type 1 to 7", &format!("type {kind}"))),
    };
    if !expected.contains(&length) {
        let (least, most) = expected.into_inner();
        let expected = format!("{least} to {most} bytes in a message {name}");
        return Err(corrupt(&expected, &length.to_string()));
    }
    Ok(())
}

/// Finds the block of a name behind its length. The name must fill the message.
fn named_block(name: &[u8], blocks: &[Block]) -> Result<usize> {
    let found = blocks.iter().position(|block| block.name == name);
    found.ok_or_else(|| {
        let text = String::from_utf8_lossy(name.get(1..).unwrap_or_default());
        let found = format!("{text:?}, with the length {}", name.first().copied().unwrap_or(0));
        corrupt("the name of a block", &found)
    })
}

fn pages(block: usize, data: &[u8], blocks: &[Block]) -> Result<Message> {
    let served = &blocks[block];
    let size = served.per_host * PAGE_SIZE;
    let start = data.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let length = u64::from(be32(&data[8..]));
    let end = start
        .checked_add(length)
        .filter(|end| *end <= served.pages() * PAGE_SIZE);
    match end {
        Some(end) if length > 0 && start.is_multiple_of(size) && length.is_multiple_of(size) => {
            Ok(Message::Pages {
                block,
                first: start / size,
                end: end / size,
            })
        }
        _ => {
            let whole = served.pages() * PAGE_SIZE;
            let expected = format!(
                "a request of whole pages of {size} bytes within the {whole} of block {:?}",
                served.id
            );
            Err(corrupt(&expected, &format!("{length} bytes at 0x{start:x}")))
        }
    }
}

fn be32(data: &[u8]) -> u32 {
    data.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Makes the error of a message that QEMU does not send.
pub(crate) fn corrupt(expected: &str, found: &str) -> EngineError {
    let words = format!("the return path of QEMU: expected {expected}, found {found}");
    EngineError::new(ErrorKind::Corrupt, words)
}
