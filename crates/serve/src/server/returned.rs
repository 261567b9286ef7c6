//! What QEMU says, and what follows from it.

use std::io;
use std::time::Instant;

use mapped_ram_engine::error::Result;
use mapped_ram_engine::{EngineError, ErrorKind};

use super::answers::Request;
use super::{MOST_REQUESTS, Phase, Server};
use crate::messages::{Message, corrupt};
use crate::page_set::PageSet;
use crate::records::{PAGE_SIZE, recv_bitmap, resume};

/// The number of the PONG that says that all devices are loaded.
const LOADED: u32 = 3;
/// A server that takes over keeps this many requests, because the answer to its command comes behind them.
const MOST_EARLY_REQUESTS: usize = 65_536;
const CHUNK: usize = 16 << 10;
/// The chunks of one turn.
const CHUNKS: usize = 4;

impl Server<'_> {
    pub(super) fn takes_requests(&self) -> bool {
        self.requests.len() <= MOST_REQUESTS || self.takes_over()
    }

    pub(super) fn takes_over(&self) -> bool {
        matches!(self.phase, Phase::Asking(_) | Phase::Resuming)
    }

    /// Reads what QEMU says, and says whether there may be more. `None` when QEMU has all.
    pub(super) fn receive(&mut self) -> Result<Option<bool>> {
        let mut chunk = [0; CHUNK];
        for _ in 0..CHUNKS {
            if !self.takes_requests() {
                return Ok(Some(false));
            }
            let count = match self.main.receive(&mut chunk) {
                Ok(None) => return Ok(Some(false)),
                Ok(Some(0)) => return Err(self.closed(None)),
                Ok(Some(count)) => count,
                Err(error) if is_closed(&error) => return Err(self.closed(Some(error))),
                Err(error) => return Err(self.failed("reading what QEMU asks for", error)),
            };
            self.inbound.add(&chunk[..count]);
            while let Some(message) = self.inbound.next(&self.blocks)? {
                if self.handle(message)? {
                    return Ok(None);
                }
            }
        }
        Ok(Some(true))
    }

    /// Acts on a message. True when QEMU has all.
    fn handle(&mut self, message: Message) -> Result<bool> {
        match message {
            Message::Shut(0) if self.phase == Phase::Ended => return Ok(true),
            Message::Shut(0) => {
                return Err(corrupt("no end before all is sent", "SHUT 0"));
            }
            Message::Shut(number) => {
                let words = format!("QEMU gave up the restore: its last message is SHUT {number}");
                return Err(EngineError::new(ErrorKind::Closed, words).on(self.options.connection.name()));
            }
            Message::Pong(LOADED) if self.phase == Phase::Loading => self.loaded(),
            Message::Pages { block, first, end } => {
                if self.takes_over() && self.requests.len() >= MOST_EARLY_REQUESTS {
                    let expected = format!("{MOST_EARLY_REQUESTS} requests at most before RESUME_ACK");
                    return Err(corrupt(&expected, "more"));
                }
                let asked = Instant::now();
                self.requests.push_back(Request {
                    block,
                    next: first,
                    end,
                    asked,
                });
            }
            Message::Placed(bitmap) => self.had_already(&bitmap)?,
            Message::Resumed => self.loaded(),
            Message::Pong(_) | Message::Other => {}
        }
        Ok(false)
    }

    fn loaded(&mut self) {
        self.phase = Phase::Loaded;
        self.account.loaded();
        self.note_pushed();
    }

    /// Asks for the bitmap of the next block when this server takes over, or lets QEMU go on.
    pub(super) fn ask_for_bitmap(&mut self) {
        let Phase::Asking(block) = self.phase else {
            return;
        };
        if let Some(asked) = self.blocks.get(block) {
            self.commands.push_back(recv_bitmap(&asked.name));
            self.inbound.bitmap_of = Some(block);
        } else {
            self.phase = Phase::Resuming;
            self.commands.push_back(resume());
            self.inbound.resuming = true;
        }
    }

    /// Claims the host pages that QEMU has whole. A page that it has in part it drops.
    fn had_already(&mut self, bitmap: &[u8]) -> Result<()> {
        let Phase::Asking(index) = self.phase else {
            return Ok(());
        };
        let block = &mut self.blocks[index];
        let placed = PageSet::from_bytes("the bitmap of QEMU", block.pages(), bitmap)?;
        let pages = block.claim_placed(&placed, self.source.content(index))?;
        self.account.had(pages * PAGE_SIZE);
        self.phase = Phase::Asking(index + 1);
        self.ask_for_bitmap();
        Ok(())
    }

    /// Reads what QEMU said before it closed a connection, now that a write has failed: the end may be among it. True
    /// when QEMU has all.
    pub(super) fn last_words(&mut self, error: io::Error) -> Result<bool> {
        if !is_closed(&error) {
            return Err(self.failed("writing pages to QEMU", error));
        }
        for _ in 0..MOST_REQUESTS {
            match self.receive()? {
                None => return Ok(true),
                Some(true) => {}
                Some(false) => break,
            }
        }
        Err(self.closed(Some(error)))
    }

    /// Makes the error of a connection that QEMU has closed.
    fn closed(&self, error: Option<io::Error>) -> EngineError {
        let when = match self.phase {
            Phase::Asking(_) | Phase::Resuming => "before RESUME_ACK: it did not let this server take over",
            Phase::Loading => "before PONG 3: its devices were not loaded",
            Phase::Loaded => "after PONG 3: pages were still missing",
            Phase::Ending | Phase::Ended => "after PONG 3: it had the end, and did not confirm it",
        };
        let words = format!("QEMU closed the connection {when}");
        let closed = EngineError::new(ErrorKind::Closed, words).on(self.options.connection.name());
        match error {
            Some(error) => closed.caused_by(error),
            None => closed,
        }
    }

    fn failed(&self, doing: &str, error: io::Error) -> EngineError {
        EngineError::io(doing, error).on(self.options.connection.name())
    }
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset | ConnectionAborted)
}
