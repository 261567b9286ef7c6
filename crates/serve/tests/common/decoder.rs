//! Reads RAM records one by one, as QEMU does after LISTEN, and minds every rule.

use std::io::{self, Read};

use super::{PAGE, Shape};

/// A host page that came whole.
#[derive(Debug)]
pub struct Placed {
    pub block: usize,
    pub host: u64,
    pub bytes: Vec<u8>,
}

/// The state of one connection.
#[derive(Debug, Default)]
pub struct Decoder {
    block: Option<usize>,
    /// A host page that came in part.
    part: Option<Placed>,
}

/// One record.
#[derive(Debug)]
pub enum Record {
    /// A host page is whole now.
    Page(Placed),
    /// A host page goes on.
    Part,
    End,
}

impl Decoder {
    pub fn read(&mut self, shapes: &[Shape], from: &mut impl Read) -> io::Result<Record> {
        let head = u64::from_be_bytes(bytes(from)?);
        let (address, flags) = (head & !0xfff, head & 0xfff);
        if head == 0x10 {
            assert!(self.part.is_none(), "the section ends within a host page");
            return Ok(Record::End);
        }
        assert!(matches!(flags & !0x20, 0x02 | 0x08), "flags 0x{flags:x}");
        let block = if flags & 0x20 == 0 {
            let [length] = bytes(from)?;
            let mut name = vec![0; usize::from(length)];
            from.read_exact(&mut name)?;
            let found = (0..shapes.len()).find(|index| Shape::id(*index).as_bytes() == name);
            found.expect("a known block")
        } else {
            self.block.expect("the first record names its block")
        };
        self.block = Some(block);
        let page = if flags & 0x08 != 0 {
            bytes::<PAGE>(from)?
        } else {
            assert_eq!(bytes(from)?, [0], "the byte of a zero page");
            [0; PAGE]
        };
        let shape = &shapes[block];
        let size = shape.host_page;
        assert!(
            address < shape.hosts() * size,
            "0x{address:x} is beyond block {block}"
        );
        let mut part = self.part.take().unwrap_or_else(|| {
            assert_eq!(address % size, 0, "a host page begins in the middle");
            Placed {
                block,
                host: address / size,
                bytes: Vec::new(),
            }
        });
        let expected = (part.block, part.host * size + part.bytes.len() as u64);
        assert_eq!((block, address), expected, "a record within another host page");
        part.bytes.extend(page);
        if (part.bytes.len() as u64) < size {
            self.part = Some(part);
            return Ok(Record::Part);
        }
        Ok(Record::Page(part))
    }
}

pub fn bytes<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}
