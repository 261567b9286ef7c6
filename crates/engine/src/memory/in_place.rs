//! Guest memory that the kernel moves from and to where it lies. This process sees the first bytes of its pages, which
//! the kernel hands over through a pipe.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::sync::Arc;

use crate::mapping::{Loan, Mapping};

/// The bytes of each page that are looked at. Few are enough: most pages that are not zero show it in their first word.
const HEAD: usize = 16;
/// The pages that are looked at in one go. Their heads fit in one page, which a pipe has at the least.
const PAGES_AT_ONCE: usize = 256;

#[derive(Debug)]
pub(crate) struct InPlace {
    mapping: Arc<Mapping>,
    huge_page: u64,
}

impl InPlace {
    pub(super) fn new(mapping: Arc<Mapping>, huge_page: u64) -> Self {
        Self { mapping, huge_page }
    }

    /// The size of the memory's huge pages, in bytes.
    pub(crate) fn huge_page(&self) -> u64 {
        self.huge_page
    }

    pub(crate) fn lend(&self, offset: u64, length: usize) -> io::Result<Loan> {
        Loan::new(&self.mapping, offset, length)
    }
}

/// The pipe of one channel, through which it sees the heads of pages.
#[derive(Debug)]
pub(crate) struct Heads {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Heads {
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self { reader, writer })
    }

    /// Says of each page whether its first bytes are all zero, so that the whole page may be. None of the pages may lie
    /// in a hole: the look would fill it.
    /// # Errors
    /// when the kernel cannot reach a page, as when somebody cut the file short
    pub(crate) fn look(
        &mut self,
        memory: &InPlace,
        offset: u64,
        page: usize,
        pages: usize,
    ) -> io::Result<Vec<bool>> {
        let mut blank = Vec::with_capacity(pages);
        while blank.len() < pages {
            let count = (pages - blank.len()).min(PAGES_AT_ONCE);
            let start = offset + (blank.len() * page) as u64;
            let written = memory
                .mapping
                .write_heads(start, page, count, HEAD, &self.writer)?;
            let mut heads = [0; PAGES_AT_ONCE * HEAD];
            let heads = heads.get_mut(..written).ok_or(io::ErrorKind::InvalidData)?;
            self.reader.read_exact(heads)?;
            if written < count * HEAD {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let (heads, _) = heads.as_chunks::<HEAD>();
            blank.extend(heads.iter().map(|head| u128::from_ne_bytes(*head) == 0));
        }
        Ok(blank)
    }
}
