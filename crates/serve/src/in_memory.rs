//! Pages in memory, for tests of the server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mapped_ram_engine::error::Result;
use mapped_ram_engine::{EngineError, ErrorKind};

use crate::batch::Batch;
use crate::page_set::PageSet;
use crate::records::{PAGE_BYTES, PAGE_SIZE};
use crate::source::{PageSource, Reading};

/// The pages of a block that are not zero, by their numbers.
pub type Pages = BTreeMap<u64, Box<[u8; PAGE_BYTES]>>;

/// A source of pages in memory.
#[derive(Debug, Default)]
pub struct InMemory {
    blocks: Vec<(PageSet, Pages)>,
    /// Blocks and pages that cannot be read.
    pub broken: BTreeSet<(usize, u64)>,
    /// The time that each read takes; `None` for reads that need no waiting.
    pub delay: Option<Duration>,
}

impl InMemory {
    /// Takes the pages of each block, and the number of pages that the block has.
    /// # Errors
    /// when there is no memory for a bitmap
    pub fn new(blocks: impl IntoIterator<Item = (u64, Pages)>) -> Result<Self> {
        let with_content = |(count, pages): (u64, Pages)| {
            let mut content = PageSet::new(count)?;
            for page in pages.keys() {
                content.insert(*page);
            }
            Ok((content, pages))
        };
        Ok(Self {
            blocks: blocks.into_iter().map(with_content).collect::<Result<_>>()?,
            ..Self::default()
        })
    }

    fn fill(&self, batch: &mut Batch) -> Result<()> {
        let block = batch.block();
        for run in batch.runs() {
            for (page, slot) in (run.first..).zip(run.slots()) {
                let found = self.blocks[block].1.get(&page);
                match found.filter(|_| !self.broken.contains(&(block, page))) {
                    Some(bytes) => slot.copy_from_slice(&bytes[..]),
                    None => {
                        let error = EngineError::new(ErrorKind::Io, "reading a page");
                        return Err(error.at("memory", page * PAGE_SIZE));
                    }
                }
            }
        }
        Ok(())
    }
}

impl PageSource for InMemory {
    fn content(&self, block: usize) -> &PageSet {
        &self.blocks[block].0
    }

    fn read_now(&self, batch: &mut Batch) -> Result<bool> {
        if self.delay.is_some() {
            return Ok(false);
        }
        self.fill(batch).map(|()| true)
    }

    fn read(&self, mut batch: Batch) -> Reading<'_> {
        Box::pin(async move {
            if let Some(delay) = self.delay {
                let _ = tokio::task::spawn_blocking(move || std::thread::sleep(delay)).await;
            }
            let result = self.fill(&mut batch);
            (batch, result)
        })
    }
}
