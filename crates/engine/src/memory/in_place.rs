//! Guest memory that the kernel moves from and to where it lies. This process sees the first bytes of its pages, which
//! the kernel hands over through a pipe.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::sync::Arc;

use crate::mapping::{Loan, Mapping};

/// The bytes of each page that are looked at. Few are enough: most pages that are not zero show it in their first word.
const HEAD: usize = 16;
/// The pages that are looked at in one go. Their heads fit in one page, which a pipe has at the least.
const PAGES_AT_ONCE: usize = 256;

/// Windows of fewer bytes are copied: a mapping costs as much as copying them does.
const LEAST_WINDOW: usize = 64 << 10;

#[derive(Debug)]
pub(crate) enum InPlace {
    /// Huge pages can be unmapped as a whole only, so the start of their file is mapped once.
    Whole { mapping: Arc<Mapping>, huge_page: u64 },
    /// Small pages are mapped while a window of them is in flight. Page tables and resident memory would grow with the
    /// guest otherwise.
    ByWindows { file: File, name: String },
}

impl InPlace {
    pub(super) fn whole(mapping: Arc<Mapping>, huge_page: u64) -> Self {
        Self::Whole { mapping, huge_page }
    }

    pub(super) fn by_windows(file: File, name: String) -> Self {
        Self::ByWindows { file, name }
    }

    /// The size of the memory's huge pages, in bytes.
    pub(crate) fn huge_page(&self) -> Option<u64> {
        match self {
            Self::Whole { huge_page, .. } => Some(*huge_page),
            Self::ByWindows { .. } => None,
        }
    }

    /// Lends a window. `None` where it is to be copied.
    pub(crate) fn lend(&self, offset: u64, length: usize) -> Option<Loan> {
        let mapping = match self {
            Self::Whole { mapping, .. } => Arc::clone(mapping),
            Self::ByWindows { file, name } if length >= LEAST_WINDOW => {
                let end = offset.checked_add(length as u64)?;
                Arc::new(Mapping::new(file, name, offset..end, false).ok()?)
            }
            Self::ByWindows { .. } => return None,
        };
        Loan::new(mapping, offset, length).ok()
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

    /// Says of each page of a loan whether its first bytes are all zero, so that the whole page may be. None of the pages may lie
    /// in a hole: the look would fill it.
    /// # Errors
    /// when the kernel cannot reach a page, as when somebody cut the file short
    pub(crate) fn look(&mut self, loan: &Loan, page: usize, pages: usize) -> io::Result<Vec<bool>> {
        let mut blank = Vec::with_capacity(pages);
        while blank.len() < pages {
            let count = (pages - blank.len()).min(PAGES_AT_ONCE);
            let start = blank.len() * page;
            let written = loan.write_heads(start, page, count, HEAD, &self.writer)?;
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
