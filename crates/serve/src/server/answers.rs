//! Pages that QEMU asks for.

use std::time::Instant;

use mapped_ram_engine::EngineError;
use mapped_ram_engine::error::Result;

use super::{Phase, Server};
use crate::batch::Batch;
use crate::reads::{Ended, Wanted};
use crate::records::PAGE_SIZE;
use crate::reworded::reworded;

/// Answers that are under way at a time: so many reads a far storage gets at once.
const MOST_ANSWERS: usize = 64;
/// Their bytes, unless one alone has more.
const MOST_ANSWER_BYTES: u64 = 8 << 20;
/// Host pages of one turn.
const STEPS: usize = 1024;
/// Batches above this size never hold up the loop.
const MOST_AT_ONCE: u64 = 2 << 20;

/// Host pages `next..end` of a block that QEMU asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) block: usize,
    pub(super) next: u64,
    pub(super) end: u64,
    pub(super) asked: Instant,
}

impl Server<'_> {
    /// Answers requests, as many as may be under way.
    pub(super) fn answer_requests(&mut self) -> Result<()> {
        for _ in 0..STEPS {
            if !self.can_answer() {
                break;
            }
            let Some(request) = self.requests.front_mut() else {
                break;
            };
            let current = *request;
            request.next += 1;
            if request.next >= request.end {
                self.requests.pop_front();
            }
            self.answer(current.block, current.next, current.asked)?;
        }
        Ok(())
    }

    /// True when there is a request, and no more answers are under way than may be.
    pub(super) fn can_answer(&self) -> bool {
        let Some(request) = self.requests.front() else {
            return false;
        };
        let size = self.blocks[request.block].per_host * PAGE_SIZE;
        let (count, bytes) = self.answering;
        let room = count == 0 || (count < MOST_ANSWERS && bytes + size <= MOST_ANSWER_BYTES);
        room && !self.takes_over()
    }

    fn answer(&mut self, block: usize, host: u64, asked: Instant) -> Result<()> {
        self.account.asked();
        self.order.jump(block, host);
        if matches!(self.phase, Phase::Ending | Phase::Ended) && !self.answers_behind_end {
            // All content is sent: QEMU makes the zeros itself.
            self.account.repeated();
            return Ok(());
        }
        if !self.blocks[block].claim(host) {
            if !self.bring_forward(block, host, asked)? {
                self.account.repeated();
            }
            return Ok(());
        }
        let mut batch = self.batch(block, vec![host])?;
        self.make_answer(&mut batch, asked);
        self.read(batch)
    }

    /// Makes an answer of a page that is about to be pushed. False when it is on its way to QEMU already.
    fn bring_forward(&mut self, block: usize, host: u64, asked: Instant) -> Result<bool> {
        for index in 0..self.pushes.len() {
            let batch = &mut self.pushes[index];
            if batch.block() != block {
                continue;
            }
            let taken = if batch.hosts() == [host] {
                self.pushes.remove(index)
            } else {
                batch.take(host).transpose()?
            };
            if let Some(mut taken) = taken {
                self.make_answer(&mut taken, asked);
                self.answers.push_back(taken);
                return Ok(true);
            }
        }
        Ok(self.reads.want(block, Wanted { host, asked }))
    }

    fn make_answer(&mut self, batch: &mut Batch, asked: Instant) {
        batch.asked = Some(asked);
        self.answering.0 += 1;
        self.answering.1 += self.blocks[batch.block()].per_host * PAGE_SIZE;
    }

    /// An answer is written, or cannot be given.
    pub(super) fn answer_is_done(&mut self, batch: &Batch) {
        if batch.asked.is_some() {
            let bytes = self.blocks[batch.block()].per_host * PAGE_SIZE;
            self.answering = (
                self.answering.0.saturating_sub(1),
                self.answering.1.saturating_sub(bytes),
            );
        }
    }

    /// Makes a batch of claimed host pages.
    pub(super) fn batch(&mut self, block: usize, hosts: Vec<u64>) -> Result<Batch> {
        let spare = self.spare.pop();
        let content = self.source.content(block);
        let per_host = self.blocks[block].per_host;
        Batch::new(block, per_host, hosts, |page| content.contains(page), spare)
    }

    /// Has the source fill in a batch: at once if that takes no waiting.
    pub(super) fn read(&mut self, mut batch: Batch) -> Result<()> {
        let read = match batch.content_pages() * PAGE_SIZE {
            0 => Ok(true),
            1..=MOST_AT_ONCE => self.source.read_now(&mut batch),
            _ => Ok(false),
        };
        match read {
            Ok(true) => self.is_read(batch),
            Ok(false) => self.reads.start(&self.source, batch),
            Err(error) => self.is_unreadable(batch, error, Vec::new()),
        }
        Ok(())
    }

    /// Takes the reads that have ended. True when there was one.
    pub(super) fn take_reads(&mut self) -> Result<bool> {
        let mut any = false;
        while let Some(Ended {
            mut batch,
            result,
            wanted,
        }) = self.reads.next_ended()?
        {
            any = true;
            if let Err(error) = result {
                self.is_unreadable(batch, error, wanted);
                continue;
            }
            for Wanted { host, asked } in wanted {
                if let Some(mut taken) = batch.take(host).transpose()? {
                    self.make_answer(&mut taken, asked);
                    self.answers.push_back(taken);
                }
            }
            self.is_read(batch);
        }
        Ok(any)
    }

    fn is_read(&mut self, batch: Batch) {
        if batch.is_empty() {
            self.keep(batch);
        } else if batch.asked.is_some() {
            self.answers.push_back(batch);
        } else {
            self.pushes.push_back(batch);
        }
    }

    /// Gives the pages of a batch back. A page that fails alone is unreadable; of several, each gets its own try.
    fn is_unreadable(&mut self, batch: Batch, error: EngineError, wanted: Vec<Wanted>) {
        self.answer_is_done(&batch);
        let index = batch.block();
        let block = &mut self.blocks[index];
        if let [host] = batch.hosts() {
            block.give_up(*host);
            let start = host * block.per_host * PAGE_SIZE;
            let words = format!(
                "page 0x{start:x} of block {:?} cannot be read: {}",
                block.id,
                error.message()
            );
            self.control.set_unreadable(reworded(&error, words));
            return;
        }
        for host in batch.hosts() {
            block.release(*host);
        }
        for Wanted { host, asked } in wanted {
            let (next, end) = (host, host + 1);
            self.requests.push_front(Request {
                block: index,
                next,
                end,
                asked,
            });
        }
    }
}
