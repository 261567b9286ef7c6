//! A block of a copy of a process's memory. Only its runs have data.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{EngineError, ErrorKind, Result};
use crate::process::{Contents, ProcessCopy};

/// No block reaches as far as this.
const BEHIND: u64 = u64::MAX >> 1;

#[derive(Debug)]
pub(crate) struct CopiedMemory {
    contents: Arc<Contents>,
    block: usize,
}

impl CopiedMemory {
    pub(super) fn open(copy: &ProcessCopy, block: usize) -> Result<Self> {
        let contents = copy.contents();
        let found = contents.blocks();
        if block >= found {
            let message = format!("the copy has {found} blocks: expected a number below that, found {block}");
            return Err(EngineError::new(ErrorKind::InvalidArgument, message));
        }
        Ok(Self { contents, block })
    }

    pub(super) fn next_data(&self, offset: u64) -> Range<u64> {
        let mut runs = self.contents.runs(self.block).skip_while(|run| run.end <= offset);
        match runs.next() {
            Some(run) => run.start.max(offset)..run.end,
            None => BEHIND..u64::MAX,
        }
    }

    pub(super) fn stretches(&self, offset: u64, length: u64) -> Vec<Range<u64>> {
        let end = offset.saturating_add(length);
        self.contents
            .runs(self.block)
            .map(|run| run.start.max(offset)..run.end.min(end))
            .filter(|run| run.start < run.end)
            .map(|run| run.start - offset..run.end - offset)
            .collect()
    }

    /// Refuses runs that are not all in the copy.
    pub(super) fn require_runs(&self, offset: u64, runs: impl Iterator<Item = Range<u64>>) -> Result<()> {
        let mut copied = self.contents.runs(self.block).peekable();
        for run in runs {
            let (mut reached, end) = (offset.saturating_add(run.start), offset.saturating_add(run.end));
            while reached < end {
                while copied.next_if(|found| found.end <= reached).is_some() {}
                match copied.peek() {
                    Some(found) if found.start <= reached => reached = found.end,
                    _ => return Err(self.lacks(reached)),
                }
            }
        }
        Ok(())
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.contents.read(self.block, buffer, offset)
    }

    fn lacks(&self, offset: u64) -> EngineError {
        let message = format!(
            "block {} of the copy: expected the page at {offset}, found none",
            self.block
        );
        EngineError::new(ErrorKind::InvalidArgument, message)
    }
}
