//! Snapshot against snapshot or memory: read the set pages of a window on either side, then compare them one by one.

use std::collections::VecDeque;
use std::ops::Range;

use super::plan::{ComparePlan, Right};
use super::windows::{OpenPages, OpenRight, Shared, Window};
use crate::error::{EngineError, Result};
use crate::pages::{Bitmap, Difference, is_zero};
use crate::queue::{Action, Queue};
use crate::requests::Requests;
use crate::run::{in_memory, merge, set_runs};

/// The queues and the buffer that one channel compares with.
#[derive(Debug)]
pub(crate) struct Sides {
    left: Box<dyn Queue>,
    right: Option<Box<dyn Queue>>,
    /// The buffer for memory on the right.
    memory: Vec<u8>,
}

impl Sides {
    pub(crate) fn new(
        left: Box<dyn Queue>,
        right: Option<Box<dyn Queue>>,
        plan: &ComparePlan,
    ) -> Result<Self> {
        let mut memory = Vec::new();
        if plan
            .blocks
            .iter()
            .any(|block| matches!(block.right, Right::Memory { .. }))
        {
            memory
                .try_reserve_exact(plan.tuning.request_size)
                .map_err(|error| EngineError::io("making a buffer", std::io::Error::other(error)))?;
            memory.resize(plan.tuning.request_size, 0);
        }
        Ok(Self { left, right, memory })
    }
}

/// The requests of one file, and the slots that they are filling.
struct Reader<'a> {
    requests: Requests<'a>,
    is_reading: Vec<bool>,
}

/// Runs one channel to its end. Nothing is in flight when it returns, whatever happened.
pub(crate) fn run(shared: &Shared, sides: Sides) -> Result<()> {
    let Sides {
        left,
        right,
        mut memory,
    } = sides;
    let mut left = Reader::new(Requests::start(&shared.left, shared.run.options, left)?, shared);
    let mut right = match (&shared.right, right) {
        (Some(file), Some(queue)) => Some(Reader::new(
            Requests::start(file, shared.run.options, queue)?,
            shared,
        )),
        _ => None,
    };
    let result = compare(shared, &mut left, right.as_mut(), &mut memory);
    // The buffers may only go when the kernel is done with them.
    let drained = left.finish(shared);
    let right_drained = right.map_or(Ok(()), |mut right| right.finish(shared));
    result.and(drained).and(right_drained)
}

/// Compares windows in the order in which their reads began, so that a channel waits for one file at a time. A window
/// has the same slot in both files.
fn compare(
    shared: &Shared,
    left: &mut Reader<'_>,
    mut right: Option<&mut Reader<'_>>,
    memory: &mut [u8],
) -> Result<()> {
    let mut reading: VecDeque<(usize, Window)> = VecDeque::new();
    let mut more = true;
    while more || !reading.is_empty() {
        shared.check_stop()?;
        let slot = if more { left.requests.take_free() } else { None };
        if let Some(slot) = slot {
            let Some(window) = shared.next_window() else {
                more = false;
                left.requests.give_back(slot);
                continue;
            };
            let block = &shared.blocks[window.block];
            left.read(shared, slot, &window, &block.left)?;
            if let (OpenRight::Pages(pages), Some(right)) = (&block.right, right.as_deref_mut()) {
                right.read(shared, slot, &window, pages)?;
            }
            reading.push_back((slot, window));
        } else if let Some((slot, window)) = reading.pop_front() {
            left.wait(slot)?;
            if let Some(right) = right.as_deref_mut() {
                right.wait(slot)?;
            }
            look(shared, slot, &window, left, right.as_deref_mut(), memory)?;
            left.requests.give_back(slot);
        }
    }
    Ok(())
}

impl<'a> Reader<'a> {
    fn new(requests: Requests<'a>, shared: &Shared) -> Self {
        Self {
            requests,
            is_reading: vec![false; shared.run.options.slots],
        }
    }

    /// Starts to read the set pages of a window. Clear pages between them may come along and are not used.
    fn read(&mut self, shared: &Shared, slot: usize, window: &Window, pages: &OpenPages) -> Result<()> {
        for read in merge(&set_runs(
            &pages.bitmap,
            shared.page_size,
            window.start..window.start + window.length,
        )) {
            let start = in_memory(read.start)?;
            let length = in_memory(read.end - read.start)?;
            let offset = pages.area.pages_offset + window.start + read.start;
            self.requests.add(Action::Read, slot, start, length, offset)?;
            self.is_reading[slot] = true;
        }
        self.requests.flush()
    }

    /// Waits until all reads of a slot have ended.
    fn wait(&mut self, slot: usize) -> Result<()> {
        while self.is_reading[slot] {
            let ready = self.requests.wait_slot()?;
            self.is_reading[ready] = false;
        }
        Ok(())
    }

    /// Waits until nothing is in flight, and counts the requests.
    fn finish(&mut self, shared: &Shared) -> Result<()> {
        let drained = self.requests.drain();
        shared.run.count(self.requests.counts());
        drained
    }
}

/// Compares the pages of a window that was read.
fn look(
    shared: &Shared,
    slot: usize,
    window: &Window,
    left: &mut Reader<'_>,
    right: Option<&mut Reader<'_>>,
    memory: &mut [u8],
) -> Result<()> {
    let block = &shared.blocks[window.block];
    let length = in_memory(window.length)?;
    let page_bytes = in_memory(shared.page_size)?;
    let left_bytes: &[u8] = left.requests.bytes(slot, length)?;
    let (right_bytes, right_bitmap): (&[u8], Option<&Bitmap>) = match (&block.right, right) {
        (OpenRight::Pages(pages), Some(right)) => (right.requests.bytes(slot, length)?, Some(&pages.bitmap)),
        (
            OpenRight::Memory {
                memory: source,
                offset,
            },
            _,
        ) if !window.is_hole => {
            let bytes = &mut memory[..length];
            source.read(bytes, offset + window.start)?;
            (bytes, None)
        }
        // The memory has a hole there.
        _ => (&[], None),
    };
    let mut data = 0;
    let mut run: Option<(Range<u64>, Difference)> = None;
    for (page, start) in (window.start / shared.page_size..).zip((0..length).step_by(page_bytes)) {
        let range = start..start + page_bytes;
        let is_left = block.left.bitmap.is_set(page);
        let is_right = right_bitmap.map_or(!right_bytes.is_empty(), |bitmap| bitmap.is_set(page));
        let left = is_left.then(|| &left_bytes[range.clone()]);
        let right = is_right.then(|| &right_bytes[range]);
        let read = u64::from(is_left) + u64::from(is_right && right_bitmap.is_some());
        data += read * shared.page_size;
        let found = difference(left, right);
        run = match (run, found) {
            (Some((run, kind)), Some(found)) if kind == found => Some((run.start..page + 1, kind)),
            (earlier, found) => {
                if let Some((run, kind)) = earlier {
                    block.differences.set(run, kind);
                }
                found.map(|found| (page..page + 1, found))
            }
        };
    }
    if let Some((run, kind)) = run {
        block.differences.set(run, kind);
    }
    shared.run.progress.count(window.length, data);
    Ok(())
}

/// Tells how two pages differ. A page that is not there is zero.
fn difference(left: Option<&[u8]>, right: Option<&[u8]>) -> Option<Difference> {
    match (left, right) {
        (None, None) => None,
        (Some(left), None) => (!is_zero(left)).then_some(Difference::BecameZero),
        (None, Some(right)) => (!is_zero(right)).then_some(Difference::BecameData),
        (Some(left), Some(right)) if left == right => None,
        (Some(left), Some(_)) if is_zero(left) => Some(Difference::BecameData),
        (Some(_), Some(right)) if is_zero(right) => Some(Difference::BecameZero),
        (Some(_), Some(_)) => Some(Difference::Changed),
    }
}
