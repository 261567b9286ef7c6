//! The thread of one file: it has the file's queue, and keeps several requests under way.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use mapped_ram_engine::EngineError;
use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::SnapshotFile;
use mapped_ram_engine::queue::{Action, Completion, Queue, Request, Target};

use super::errand::Part;
use crate::buffered_file::read_failed;
use crate::records::PAGE_SIZE;
use crate::reworded::reworded;

/// The kernel may ask this often to try a request again before that counts as an error.
const MAX_RETRIES: u32 = 100;

#[derive(Debug)]
pub(super) struct Reader {
    file: Arc<SnapshotFile>,
    queue: Box<dyn Queue>,
    orders: Receiver<Vec<Part>>,
    /// Offsets and lengths of requests are multiples of this.
    align: u64,
    slot_size: u64,
    /// What each slot is used for.
    slots: Vec<Option<UnderWay>>,
    free: Vec<usize>,
    urgent: VecDeque<Part>,
    others: VecDeque<Part>,
}

/// A request, and the part whose pages it reads. It may read bytes around them, to be aligned.
#[derive(Debug)]
struct UnderWay {
    part: Part,
    /// The place of the slot's first byte in the file.
    start: u64,
    /// The place from which on bytes are missing.
    from: u64,
    end: u64,
    retries: u32,
}

impl Reader {
    /// `align` divides `slot_size`, and a page fits into a slot wherever it begins.
    pub(super) fn new(
        file: Arc<SnapshotFile>,
        queue: Box<dyn Queue>,
        orders: Receiver<Vec<Part>>,
        align: u64,
        (slots, slot_size): (usize, u64),
    ) -> Self {
        Self {
            file,
            queue,
            orders,
            align,
            slot_size,
            slots: (0..slots).map(|_| None).collect(),
            free: (0..slots).collect(),
            urgent: VecDeque::new(),
            others: VecDeque::new(),
        }
    }

    /// Reads until there is nobody left who could ask for pages.
    pub(super) fn run(mut self) {
        let Err(error) = self.work() else { return };
        // The queue is of no use any more, so that nothing that it was given or will be given can be read.
        let waiting = self.urgent.drain(..).chain(self.others.drain(..));
        let under_way = self.slots.iter_mut().filter_map(|slot| Some(slot.take()?.part));
        for part in waiting.chain(under_way) {
            part.errand.fail(reworded(&error, error.message()));
        }
        while let Ok(parts) = self.orders.recv() {
            for part in parts {
                part.errand.fail(reworded(&error, error.message()));
            }
        }
    }

    fn work(&mut self) -> Result<()> {
        let failed = |doing, name: &str| {
            let name = name.to_owned();
            move |error| EngineError::io(doing, error).on(name)
        };
        let name = &self.file.name;
        self.queue
            .start()
            .map_err(failed("starting the submission queue", name))?;
        while self.take_orders() {
            self.begin_waiting();
            if self.free.len() < self.slots.len() {
                let completion = self.queue.wait();
                self.finish(completion.map_err(failed("waiting for requests", &self.file.name))?);
            }
        }
        Ok(())
    }

    /// Takes what was ordered meanwhile, and waits for orders when there is nothing else to do. False when there will be
    /// none.
    fn take_orders(&mut self) -> bool {
        let idle = self.free.len() == self.slots.len() && self.urgent.is_empty() && self.others.is_empty();
        if idle {
            match self.orders.recv() {
                Ok(parts) => self.line_up(parts),
                Err(_) => return false,
            }
        }
        loop {
            match self.orders.try_recv() {
                Ok(parts) => self.line_up(parts),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return true,
            }
        }
    }

    fn line_up(&mut self, parts: Vec<Part>) {
        for part in parts {
            if part.errand.urgent {
                self.urgent.push_back(part);
            } else {
                self.others.push_back(part);
            }
        }
    }

    /// Begins as many requests as there are slots for, urgent ones first. A quarter of the slots is theirs alone.
    fn begin_waiting(&mut self) {
        while !self.free.is_empty() {
            let for_others = self.free.len() > self.slots.len() / 4;
            let next = match self.urgent.pop_front() {
                None if for_others => self.others.pop_front(),
                urgent => urgent,
            };
            let Some(part) = next else { break };
            if !part.errand.is_over() {
                self.begin(part);
            }
        }
    }

    fn begin(&mut self, mut part: Part) {
        let start = part.offset - part.offset % self.align;
        let fit = (start + self.slot_size - part.offset) / PAGE_SIZE;
        if let Some(rest) = part.split_off(fit) {
            let line = if rest.errand.urgent {
                &mut self.urgent
            } else {
                &mut self.others
            };
            line.push_front(rest);
        }
        let end = part.end().next_multiple_of(self.align);
        if let Some(slot) = self.free.pop() {
            let under_way = UnderWay {
                part,
                start,
                from: start,
                end,
                retries: 0,
            };
            self.submit(slot, under_way);
        }
    }

    fn submit(&mut self, slot: usize, under_way: UnderWay) {
        let (from, start, end) = (under_way.from, under_way.start, under_way.end);
        let request = Request {
            token: slot as u64,
            action: Action::Read,
            target: Target::Direct,
            slot,
            start: in_slot(from - start),
            length: in_slot(end - from),
            offset: from,
        };
        match self.queue.submit(request) {
            Ok(()) => self.slots[slot] = Some(under_way),
            Err(error) => self.fail(slot, &under_way, error),
        }
    }

    fn finish(&mut self, Completion { token, result }: Completion) {
        let slot = in_slot(token);
        let Some(mut under_way) = self.slots.get_mut(slot).and_then(Option::take) else {
            return;
        };
        let count = match result {
            Ok(count) => count as u64,
            Err(error) => {
                under_way.retries += 1;
                let again = is_transient(&error) && under_way.retries < MAX_RETRIES;
                return if again && !under_way.part.errand.is_over() {
                    self.submit(slot, under_way);
                } else {
                    self.fail(slot, &under_way, error);
                };
            }
        };
        let have = under_way.from + count;
        if have >= under_way.part.end() {
            self.fill(slot, &under_way);
            return;
        }
        // The file ends where a whole unit is not to be had.
        let whole = have - have % self.align;
        if whole > under_way.from && !under_way.part.errand.is_over() {
            under_way.from = whole;
            self.submit(slot, under_way);
        } else {
            under_way.from = have;
            self.fail(slot, &under_way, io::ErrorKind::UnexpectedEof.into());
        }
    }

    fn fill(&mut self, slot: usize, UnderWay { part, start, .. }: &UnderWay) {
        let first = in_slot(part.offset - start);
        let range = first..first + in_slot(part.bytes());
        let bytes = self.queue.slot(slot);
        match bytes.and_then(|bytes| bytes.get(range).ok_or_else(|| io::ErrorKind::InvalidInput.into())) {
            Ok(bytes) => part.fill(bytes),
            Err(error) => part.errand.fail(read_failed(&self.file.name, part.offset, error)),
        }
        self.free.push(slot);
    }

    /// Fails a part at the first of its pages that is not there.
    fn fail(&mut self, slot: usize, UnderWay { part, from, .. }: &UnderWay, error: io::Error) {
        let pages = from.saturating_sub(part.offset) / PAGE_SIZE;
        let offset = part.offset + pages * PAGE_SIZE;
        part.errand.fail(read_failed(&self.file.name, offset, error));
        self.free.push(slot);
    }
}

/// A place in a slot, or a slot's number: both are small.
fn in_slot(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
    )
}
