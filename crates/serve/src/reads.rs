//! Reads that wait for a storage.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use mapped_ram_engine::error::Result;
use mapped_ram_engine::{EngineError, ErrorKind};
use tokio::task::{JoinError, JoinSet};

use crate::batch::Batch;
use crate::source::PageSource;

/// The number of a read, the batch, and whether it is filled in.
type Read = (u64, Batch, Result<()>);

/// Reads that wait for a storage. Dropping them gives them up.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    tasks: JoinSet<Read>,
    under_way: Vec<UnderWay>,
    /// Those that ended while something else was waited for.
    ended: Vec<std::result::Result<Read, JoinError>>,
    last: u64,
}

#[derive(Debug)]
struct UnderWay {
    number: u64,
    block: usize,
    hosts: Vec<u64>,
    pushed: bool,
    /// Host pages that QEMU asked for meanwhile.
    wanted: Vec<Wanted>,
}

/// A host page that QEMU asked for while it was read to be pushed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) host: u64,
    pub(crate) asked: Instant,
}

/// A read that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) batch: Batch,
    pub(crate) result: Result<()>,
    pub(crate) wanted: Vec<Wanted>,
}

impl Reads {
    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The number of batches to be pushed that are under way.
    pub(crate) fn pushed(&self) -> usize {
        self.under_way.iter().filter(|read| read.pushed).count()
    }

    pub(crate) fn start(&mut self, source: &Arc<dyn PageSource>, batch: Batch) {
        self.last += 1;
        let number = self.last;
        self.under_way.push(UnderWay {
            number,
            block: batch.block(),
            hosts: batch.hosts().to_vec(),
            pushed: batch.asked.is_none(),
            wanted: Vec::new(),
        });
        let source = Arc::clone(source);
        let read = async move {
            let (batch, result) = source.read(batch).await;
            (number, batch, result)
        };
        self.tasks.spawn(read);
    }

    /// Notes that QEMU asks for a page which is being read to be pushed. False when there is no such read, and when it
    /// was noted before.
    pub(crate) fn want(&mut self, block: usize, wanted: Wanted) -> bool {
        let mut pushes = self
            .under_way
            .iter_mut()
            .filter(|read| read.pushed && read.block == block);
        let Some(read) = pushes.find(|read| read.hosts.binary_search(&wanted.host).is_ok()) else {
            return false;
        };
        let new = read.wanted.iter().all(|other| other.host != wanted.host);
        if new {
            read.wanted.push(wanted);
        }
        new
    }

    /// Gives a read that has ended, if there is one.
    /// # Errors
    /// when the source panicked
    pub(crate) fn next_ended(&mut self) -> Result<Option<Ended>> {
        let Some(ended) = self.ended.pop().or_else(|| self.tasks.try_join_next()) else {
            return Ok(None);
        };
        let (number, batch, result) = ended.map_err(|error| {
            let words = format!("a source of pages failed: {error}");
            EngineError::new(ErrorKind::Internal, words)
        })?;
        let index = self.under_way.iter().position(|read| read.number == number);
        let wanted = index.map(|index| self.under_way.swap_remove(index).wanted);
        Ok(Some(Ended {
            batch,
            result,
            wanted: wanted.unwrap_or_default(),
        }))
    }

    /// Becomes ready when a read has ended.
    pub(crate) fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.tasks.poll_join_next(context) {
            Poll::Ready(Some(ended)) => {
                self.ended.push(ended);
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }
}
