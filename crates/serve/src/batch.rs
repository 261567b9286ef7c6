//! Pages of one block on their way from a source to QEMU, as the records that the socket takes.

use std::time::Instant;

use mapped_ram_engine::error::Result;
use mapped_ram_engine::{EngineError, ErrorKind};

use crate::records::{
    CONTINUE, PAGE_BYTES, PAGE_SIZE, PART_HEAD, PART_TAIL, RECORD_HEAD, WHOLE_PAGE, ZERO_PAGE, part_head,
    part_tail,
};

/// The space before the first page: a section's head, a record's head, and the block's name behind its length. The
/// channel decides late which of these are there.
const HEADROOM: usize = (PART_HEAD + RECORD_HEAD + 256).next_multiple_of(8);
/// The distance of pages that follow each other in a block: the head of a record lies between them.
const STRIDE: usize = PAGE_BYTES + RECORD_HEAD;

/// Whole host pages of one block, which a source fills in and a channel writes in one piece.
#[derive(Debug)]
pub struct Batch {
    block: usize,
    /// Target pages in a host page.
    per_host: u64,
    /// The host pages, ascending. All target pages of each have a record.
    hosts: Vec<u64>,
    records: Vec<Record>,
    buffer: Vec<u8>,
    end: usize,
    /// The time at which QEMU asked for the page; `None` for pages that it did not ask for.
    pub(crate) asked: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    page: u64,
    /// The place of the page's bytes, or of the one byte that stands for zeros.
    body: usize,
    content: bool,
}

impl Record {
    fn body_bytes(&self) -> usize {
        if self.content { PAGE_BYTES } else { 1 }
    }
}

/// Consecutive pages of a block that all have content, and the places that their bytes go to.
#[derive(Debug)]
pub struct Run<'a> {
    /// The number of the first page in its block.
    pub first: u64,
    bytes: &'a mut [u8],
}

impl<'a> Run<'a> {
    /// The places of the pages in turn, each of [`PAGE_SIZE`] bytes.
    pub fn slots(self) -> impl Iterator<Item = &'a mut [u8]> {
        self.bytes.chunks_mut(STRIDE).map(|slot| &mut slot[..PAGE_BYTES])
    }
}

impl Batch {
    /// Makes records for host pages of a block. `has_content` answers for target pages.
    /// # Errors
    /// when there is no memory for a host page
    pub(crate) fn new(
        block: usize,
        per_host: u64,
        hosts: Vec<u64>,
        has_content: impl Fn(u64) -> bool,
        spare: Option<Vec<u8>>,
    ) -> Result<Self> {
        let mut body = HEADROOM;
        let mut records = Vec::new();
        for page in hosts
            .iter()
            .flat_map(|host| host * per_host..(host + 1) * per_host)
        {
            let content = has_content(page);
            let record = Record { page, body, content };
            body += record.body_bytes() + RECORD_HEAD;
            records.push(record);
        }
        let end = body - RECORD_HEAD;
        let mut batch = Self {
            block,
            per_host,
            hosts,
            records,
            buffer: room(spare.unwrap_or_default(), end + PART_TAIL)?,
            end,
            asked: None,
        };
        batch.write_heads();
        Ok(batch)
    }

    /// The block's number.
    pub fn block(&self) -> usize {
        self.block
    }

    /// The pages that the source has to fill in, run by run.
    pub fn runs(&mut self) -> impl Iterator<Item = Run<'_>> {
        let mut rest = self.buffer.as_mut_slice();
        let mut gone = 0;
        let mut at = 0;
        let records = &self.records;
        std::iter::from_fn(move || {
            at += records[at..].iter().take_while(|record| !record.content).count();
            let first = records.get(at)?;
            let count = (first.page..)
                .zip(&records[at..])
                .take_while(|(page, record)| record.content && record.page == *page)
                .count();
            at += count;
            let length = count * STRIDE - RECORD_HEAD;
            let (_, from) = std::mem::take(&mut rest).split_at_mut(first.body - gone);
            let (bytes, behind) = from.split_at_mut(length);
            (rest, gone) = (behind, first.body + length);
            Some(Run {
                first: first.page,
                bytes,
            })
        })
    }

    /// The place of the bytes of one page that the source has to fill in; `None` where there is no such page.
    pub(crate) fn slot(&mut self, page: u64) -> Option<&mut [u8]> {
        let index = self.records.binary_search_by_key(&page, |record| record.page);
        let record = self.records.get(index.ok()?).filter(|record| record.content)?;
        self.buffer.get_mut(record.body..record.body + PAGE_BYTES)
    }

    pub(crate) fn hosts(&self) -> &[u64] {
        &self.hosts
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The number of target pages with content.
    pub(crate) fn content_pages(&self) -> u64 {
        self.records.iter().filter(|record| record.content).count() as u64
    }

    /// Moves one host page into a batch of its own, whose bytes are filled in as they are here. `None` when it is not
    /// here.
    pub(crate) fn take(&mut self, host: u64) -> Option<Result<Self>> {
        let index = self.hosts.binary_search(&host).ok()?;
        let count = usize::try_from(self.per_host).ok()?;
        let records = index * count..(index + 1) * count;
        let (first, last) = (self.records[records.start], self.records[records.end - 1]);
        let bytes = first.body..last.body + last.body_bytes();
        let own = &self.records[records.clone()];
        let mut buffer = match room(Vec::new(), HEADROOM + bytes.len() + PART_TAIL) {
            Ok(buffer) => buffer,
            Err(error) => return Some(Err(error)),
        };
        buffer[HEADROOM..HEADROOM + bytes.len()].copy_from_slice(&self.buffer[bytes.clone()]);
        let moved = |record: &Record| Record {
            body: record.body - first.body + HEADROOM,
            ..*record
        };
        let taken = Self {
            block: self.block,
            per_host: self.per_host,
            hosts: vec![host],
            records: own.iter().map(moved).collect(),
            buffer,
            end: HEADROOM + bytes.len(),
            asked: None,
        };
        self.close_gap(index, records, bytes.len() + RECORD_HEAD);
        Some(Ok(taken))
    }

    /// Gives the bytes to be written, in a section of its own if `section` names one. The first record names its block
    /// when `name` is given, and otherwise means the block of the record before.
    pub(crate) fn sealed(&mut self, name: Option<&[u8]>, section: Option<u32>) -> std::ops::Range<usize> {
        let Some(first) = self.records.first().copied() else {
            return 0..0;
        };
        let name = name.unwrap_or_default();
        let mut start = first.body - name.len();
        self.buffer[start..first.body].copy_from_slice(name);
        start -= RECORD_HEAD;
        let head = head(&first, !name.is_empty());
        self.buffer[start..start + RECORD_HEAD].copy_from_slice(&head);
        let mut end = self.end;
        if let Some(section_id) = section {
            start -= PART_HEAD;
            self.buffer[start..start + PART_HEAD].copy_from_slice(&part_head(section_id));
            self.buffer[end..end + PART_TAIL].copy_from_slice(&part_tail(section_id));
            end += PART_TAIL;
        }
        start..end
    }

    /// The number of bytes of the records, roughly.
    pub(crate) fn written_bytes(&self) -> u64 {
        (self.end - HEADROOM) as u64
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Gives the buffer back, for another batch.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    fn close_gap(&mut self, host: usize, records: std::ops::Range<usize>, width: usize) {
        self.hosts.remove(host);
        let start = self.records[records.start].body;
        // The head before the gap's first page stays, and belongs to the page behind the gap from now on.
        if records.end < self.records.len() {
            self.buffer.copy_within(start + width..self.end, start);
        }
        for record in &mut self.records[records.end..] {
            record.body -= width;
        }
        self.end = self.end.saturating_sub(width);
        self.records.drain(records);
        self.write_heads();
    }

    /// Writes the heads of all records but the first, and the bytes of zero pages.
    fn write_heads(&mut self) {
        for (index, record) in self.records.iter().enumerate() {
            if index > 0 {
                let start = record.body - RECORD_HEAD;
                self.buffer[start..record.body].copy_from_slice(&head(record, false));
            }
            if !record.content {
                self.buffer[record.body] = 0;
            }
        }
    }
}

fn head(record: &Record, named: bool) -> [u8; RECORD_HEAD] {
    let kind = if record.content { WHOLE_PAGE } else { ZERO_PAGE };
    let again = if named { 0 } else { CONTINUE };
    ((record.page * PAGE_SIZE) | kind | again).to_be_bytes()
}

/// Makes a buffer of at least `length` bytes, of a spare one if possible.
fn room(mut buffer: Vec<u8>, length: usize) -> Result<Vec<u8>> {
    if buffer.len() < length {
        buffer.try_reserve_exact(length - buffer.len()).map_err(|_| {
            let words = format!("there is no memory for a buffer of {length} bytes");
            EngineError::new(ErrorKind::OutOfRange, words)
        })?;
        buffer.resize(length, 0);
    }
    Ok(buffer)
}
