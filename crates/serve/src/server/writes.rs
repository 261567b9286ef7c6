//! What is written next on each connection.

use std::io;

use mapped_ram_engine::error::Result;

use super::{Phase, Server};
use crate::batch::Batch;
use crate::channel::{Channel, Output};
use crate::records::end_of_ram;

/// Buffers that are kept for the next batches, and the most bytes that one of them has.
const MOST_SPARE: usize = 8;
const MOST_SPARE_BYTES: usize = 4 << 20;

impl Server<'_> {
    /// Writes what the sockets take, the main one a section at most. True when it may take more at once; `None` when
    /// QEMU has all.
    pub(super) fn write(&mut self) -> Result<Option<bool>> {
        if let Err(error) = self.write_answers()
            && self.urgent_is_closed(error)?
        {
            return Ok(None);
        }
        if self.main.is_idle() {
            self.start_next();
        }
        match self.main.flush() {
            Ok(Some(output)) => {
                self.is_written(output);
                Ok(Some(true))
            }
            Ok(None) => Ok(Some(false)),
            Err(error) => Ok(if self.last_words(error)? {
                None
            } else {
                Some(false)
            }),
        }
    }

    /// Writes answers to the second connection, if there is one.
    fn write_answers(&mut self) -> io::Result<()> {
        while let Some(urgent) = &mut self.urgent {
            if urgent.is_idle() {
                let Some(batch) = self.answers.pop_front() else {
                    break;
                };
                let name = &self.blocks[batch.block()].name;
                urgent.start_batch(batch, name);
            }
            let Some(output) = urgent.flush()? else {
                break;
            };
            self.is_written(output);
        }
        Ok(())
    }

    /// QEMU may close the second connection first, once it has the end. True when QEMU has all.
    fn urgent_is_closed(&mut self, error: io::Error) -> Result<bool> {
        if self.phase != Phase::Ended {
            return self.last_words(error);
        }
        if let Some(urgent) = &mut self.urgent {
            urgent.give_up();
        }
        self.answers.clear();
        self.answering = (0, 0);
        self.answers_behind_end = false;
        Ok(false)
    }

    /// Starts to write what is due on the main connection, if anything is.
    fn start_next(&mut self) {
        if let Some(command) = self.commands.pop_front() {
            self.main.start(command);
            return;
        }
        let mut batch = None;
        if !self.options.preempt {
            batch = self.answers.pop_front();
        }
        if batch.is_none() && self.may_push_now() {
            batch = self.pushes.pop_front();
        }
        if let Some(batch) = batch {
            let name = &self.blocks[batch.block()].name;
            self.main.start_batch(batch, name);
        } else if self.end_is_due() {
            self.phase = Phase::Ending;
            self.main.start(end_of_ram(self.options.section_id));
        }
    }

    /// True when QEMU has all content, waits for nothing that this server knows of, and the end may be sent.
    fn end_is_due(&self) -> bool {
        self.phase == Phase::Loaded
            && self.account.all_is_sent()
            && self.requests.is_empty()
            && self.answers.is_empty()
            && self.reads.is_empty()
            && self.urgent.as_ref().is_none_or(Channel::is_idle)
            && (self.options.ends_by_itself || self.control.may_end())
    }

    fn is_written(&mut self, output: Output) {
        match output {
            Output::Plain(_) if self.phase == Phase::Ending => {
                self.phase = Phase::Ended;
                self.account.ended();
            }
            Output::Plain(_) => {}
            Output::Batch(batch) => self.batch_is_written(batch),
        }
    }

    fn batch_is_written(&mut self, batch: Batch) {
        self.account.written(&batch);
        self.answer_is_done(&batch);
        if batch.asked.is_some() {
            self.pace.answered();
        } else {
            self.pace.pushed(batch.written_bytes());
        }
        self.note_pushed();
        self.keep(batch);
    }

    /// Says so when all content is sent, and the guest may run.
    pub(super) fn note_pushed(&mut self) {
        if self.phase == Phase::Loaded && self.account.all_is_sent() {
            self.account.pushed();
        }
    }

    /// Keeps a batch's buffer for another.
    pub(super) fn keep(&mut self, batch: Batch) {
        let buffer = batch.into_buffer();
        if self.spare.len() < MOST_SPARE && buffer.len() <= MOST_SPARE_BYTES {
            self.spare.push(buffer);
        }
    }
}
