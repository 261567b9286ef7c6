//! A copy of some pages of a process, made while it stands still and written later, when it goes on.
//!
//! The buffer exists, page by page, before the process is stopped: the kernel takes several times as long to make a page
//! as to copy into it.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use memmap2::MmapMut;

use super::{Piece, name_of, read_process};
use crate::error::{EngineError, ErrorKind, Result};

/// The smallest page that any host has, in bytes.
const PAGE: u64 = 4096;
/// More threads than these find nothing to do: memory itself is the limit.
const MOST_THREADS: usize = 64;

/// The pages of one block of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRuns {
    /// The address of the block in the process.
    pub address: u64,
    /// In bytes from the start of the block, ascending and apart.
    pub runs: Vec<Range<u64>>,
}

/// The outcome of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The bytes that were copied.
    pub bytes: u64,
    /// The runs of each block that did not fit, or the part of them that did not.
    pub left: Vec<Vec<Range<u64>>>,
}

/// A buffer for the copy, and the copy in it.
#[derive(Debug)]
pub struct ProcessCopy {
    capacity: u64,
    contents: Mutex<Arc<Contents>>,
}

/// The bytes of a copy. Blocks are called by their numbers in the call that copied them.
#[derive(Debug)]
pub(crate) struct Contents {
    buffer: MmapMut,
    blocks: Vec<Vec<CopiedRun>>,
}

/// A run that is in the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CopiedRun {
    /// In bytes from the start of the block.
    range: Range<u64>,
    /// The place of the first byte in the buffer.
    position: usize,
}

impl ProcessCopy {
    /// Makes room for `bytes`, rounded up to whole pages, and has the kernel make every page of it. That takes some
    /// hundred milliseconds for a GiB.
    /// # Errors
    /// Io when the system has not so much memory to give
    pub fn with_capacity(bytes: u64) -> Result<Self> {
        let failed = |error| EngineError::io(format!("making room for a copy of {bytes} bytes"), error);
        let length = bytes.max(1).checked_next_multiple_of(PAGE);
        let length = length.and_then(|length| usize::try_from(length).ok());
        let length = length.ok_or_else(|| failed(io::ErrorKind::OutOfMemory.into()))?;
        let mut buffer = MmapMut::map_anon(length).map_err(failed)?;
        populate(&mut buffer).map_err(failed)?;
        let contents = Contents {
            buffer,
            blocks: Vec::new(),
        };
        Ok(Self {
            capacity: length as u64,
            contents: Mutex::new(Arc::new(contents)),
        })
    }

    /// The most bytes that can be copied.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Copies runs of process `pid` into the buffer, which forgets what it had. What does not fit is left out, and told.
    /// A run is cut only at a multiple of `unit` bytes, a power of two, from the start of its block: pages of the guest
    /// may be larger than those of the host. `threads` of them, 1 to 64, share the work. After an error the copy is empty.
    /// # Errors
    /// InvalidArgument for runs that are not ascending, a unit that is no power of two, and while a transfer uses the copy;
    /// Truncated for an address at which nothing is mapped; Io when this process may not look
    pub fn copy(&self, pid: u32, blocks: &[BlockRuns], unit: u64, threads: usize) -> Result<Copied> {
        check(blocks, unit, threads)?;
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = Arc::get_mut(&mut contents)
            .ok_or_else(|| invalid("the copy is still being written".to_owned()))?;
        contents.blocks.clear();
        let (placed, copied) = place(blocks, self.capacity, unit);
        let used = usize::try_from(copied.bytes).unwrap_or(usize::MAX);
        let buffer = contents
            .buffer
            .get_mut(..used)
            .ok_or_else(|| EngineError::new(ErrorKind::Internal, "a copy larger than its buffer"))?;
        copy_shares(pid, blocks, &placed, buffer, threads)?;
        contents.blocks = placed;
        Ok(copied)
    }

    /// The copy as it is now. Nothing else can be copied while somebody keeps this.
    pub(crate) fn contents(&self) -> Arc<Contents> {
        Arc::clone(&self.contents.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Contents {
    /// The number of blocks that were copied.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The runs of a block that are in the copy, in bytes from the block's start, ascending.
    pub(crate) fn runs(&self, block: usize) -> impl Iterator<Item = Range<u64>> + '_ {
        self.block(block).iter().map(|run| run.range.clone())
    }

    /// Reads bytes of a block from `offset` on. Those outside of the runs are zeros.
    pub(crate) fn read(&self, block: usize, bytes: &mut [u8], offset: u64) -> Result<()> {
        let runs = self.block(block);
        let end = offset.saturating_add(bytes.len() as u64);
        let first = runs.partition_point(|run| run.range.end <= offset);
        let mut done = 0;
        for run in runs.iter().skip(first).take_while(|run| run.range.start < end) {
            let (from, to) = (run.range.start.max(offset), run.range.end.min(end));
            let here = index(from - offset)?..index(to - offset)?;
            let there = run.position + index(from - run.range.start)?;
            let source = self
                .buffer
                .get(there..there + here.len())
                .ok_or_else(|| EngineError::new(ErrorKind::Internal, "a run outside of the copy"))?;
            bytes[done..here.start].fill(0);
            bytes[here.clone()].copy_from_slice(source);
            done = here.end;
        }
        bytes[done..].fill(0);
        Ok(())
    }

    fn block(&self, block: usize) -> &[CopiedRun] {
        self.blocks.get(block).map_or(&[], Vec::as_slice)
    }
}

/// Has the kernel make every page, huge ones where it has them to give.
#[cfg(target_os = "linux")]
fn populate(buffer: &mut MmapMut) -> io::Result<()> {
    use memmap2::Advice;
    // This is only advice: everything works without huge pages.
    let _ = buffer.advise(Advice::HugePage);
    match buffer.advise(Advice::PopulateWrite) {
        // Linux has it since 5.14.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => touch(buffer),
        populated => return populated,
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn populate(buffer: &mut MmapMut) -> io::Result<()> {
    touch(buffer);
    Ok(())
}

fn touch(buffer: &mut MmapMut) {
    for page in buffer.chunks_mut(4096) {
        page[0] = 0;
    }
}

fn check(blocks: &[BlockRuns], unit: u64, threads: usize) -> Result<()> {
    if !unit.is_power_of_two() {
        return Err(invalid(format!("unit: expected a power of two, found {unit}")));
    }
    if !(1..=MOST_THREADS).contains(&threads) {
        return Err(EngineError::new(
            ErrorKind::OutOfRange,
            format!("threads: expected 1 to {MOST_THREADS}, found {threads}"),
        ));
    }
    for (number, BlockRuns { address, runs }) in blocks.iter().enumerate() {
        let mut reached = 0;
        for run in runs {
            if run.start < reached || run.end <= run.start || address.checked_add(run.end).is_none() {
                return Err(invalid(format!(
                    "runs of block {number}: expected ascending ones that lie apart, found {} up to {} behind {reached}",
                    run.start, run.end
                )));
            }
            reached = run.end;
        }
    }
    Ok(())
}

/// Finds a place in the buffer for each run, one after the other, and says what does not fit.
fn place(blocks: &[BlockRuns], capacity: u64, unit: u64) -> (Vec<Vec<CopiedRun>>, Copied) {
    let mut used = 0;
    let (mut placed, mut left) = (Vec::with_capacity(blocks.len()), Vec::with_capacity(blocks.len()));
    for block in blocks {
        let (mut inside, mut outside) = (Vec::with_capacity(block.runs.len()), Vec::new());
        for run in &block.runs {
            let (length, room) = (run.end - run.start, capacity - used);
            // Only a run that does not fit is cut, and between units.
            let cut = if length <= room {
                run.end
            } else {
                (run.start + room) / unit * unit
            };
            let cut = cut.clamp(run.start, run.end);
            if run.start < cut {
                // The place fits the capacity, which fits in memory.
                let position = usize::try_from(used).unwrap_or(usize::MAX);
                inside.push(CopiedRun {
                    range: run.start..cut,
                    position,
                });
                used += cut - run.start;
            }
            if cut < run.end {
                outside.push(cut..run.end);
            }
        }
        placed.push(inside);
        left.push(outside);
    }
    (placed, Copied { bytes: used, left })
}

/// Copies what has a place, in threads with equal shares of the bytes.
fn copy_shares(
    pid: u32,
    blocks: &[BlockRuns],
    placed: &[Vec<CopiedRun>],
    buffer: &mut [u8],
    threads: usize,
) -> Result<()> {
    let page = index(PAGE)?;
    let share = buffer.len().div_ceil(threads).max(1).next_multiple_of(page);
    let mut shares: Vec<Vec<Piece<'_>>> = Vec::with_capacity(threads);
    let (mut rest, mut room) = (buffer, 0);
    for (block, runs) in blocks.iter().zip(placed) {
        for run in runs {
            let mut start = run.range.start;
            while start < run.range.end {
                if room == 0 {
                    shares.push(Vec::new());
                    room = share;
                }
                let length = index(run.range.end - start)?.min(room);
                let (bytes, behind) = std::mem::take(&mut rest)
                    .split_at_mut_checked(length)
                    .ok_or_else(|| EngineError::new(ErrorKind::Internal, "a copy larger than its buffer"))?;
                rest = behind;
                let address = block.address + start;
                if let Some(pieces) = shares.last_mut() {
                    pieces.push(Piece { address, bytes });
                }
                room -= length;
                start += length as u64;
            }
        }
    }
    let Some(own) = shares.pop() else {
        return Ok(());
    };
    thread::scope(|scope| {
        let started: Vec<_> = shares
            .into_iter()
            .map(|pieces| {
                thread::Builder::new()
                    .name("mapped-ram-copy".to_owned())
                    .spawn_scoped(scope, move || read_process(pid, pieces))
                    .map_err(|error| {
                        EngineError::io("starting a thread for the copy", error).on(name_of(pid))
                    })
            })
            .collect();
        let mut result = read_process(pid, own);
        for thread in started {
            let panicked = |_| {
                Err(EngineError::new(
                    ErrorKind::Internal,
                    "a thread of the copy panicked",
                ))
            };
            let ended = thread.and_then(|thread| thread.join().unwrap_or_else(panicked));
            result = result.and(ended);
        }
        result
    })
}

fn index(bytes: u64) -> Result<usize> {
    usize::try_from(bytes).map_err(|_| EngineError::new(ErrorKind::Internal, "a copy is larger than memory"))
}

fn invalid(message: String) -> EngineError {
    EngineError::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::{BlockRuns, ProcessCopy};
    use proptest::prelude::*;

    const PAGE: usize = 4096;

    fn runs_of(pages: &[bool]) -> Vec<std::ops::Range<u64>> {
        let mut runs: Vec<std::ops::Range<u64>> = Vec::new();
        for (start, _) in (0..).step_by(PAGE).zip(pages).filter(|(_, wanted)| **wanted) {
            match runs.last_mut() {
                Some(run) if run.end == start => run.end += PAGE as u64,
                _ => runs.push(start..start + PAGE as u64),
            }
        }
        runs
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn the_copy_has_the_pages_that_fit_and_tells_the_others(
            pages in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 0..90), 1..4),
            room in 1_usize..200,
            threads in 1_usize..5,
            unit in prop_oneof![Just(1_usize), Just(2), Just(16)],
            (offset, length) in (0_usize..95 * PAGE, 0_usize..40 * PAGE),
        ) {
            // Runs are in units, as those of a guest with large pages.
            let pages: Vec<Vec<bool>> = pages
                .iter()
                .map(|pages| pages.iter().flat_map(|page| std::iter::repeat_n(*page, unit)).collect())
                .collect();
            let memory: Vec<Vec<u8>> = pages
                .iter()
                .map(|pages| (0..pages.len() * PAGE).map(|byte| u8::try_from((byte / 7 + byte / PAGE) % 255 + 1).unwrap()).collect())
                .collect();
            let blocks: Vec<BlockRuns> = memory
                .iter()
                .zip(&pages)
                .map(|(bytes, pages)| BlockRuns { address: bytes.as_ptr().addr() as u64, runs: runs_of(pages) })
                .collect();
            let copy = ProcessCopy::with_capacity((room * PAGE) as u64).unwrap();
            let copied = copy.copy(std::process::id(), &blocks, (unit * PAGE) as u64, threads).unwrap();
            let contents = copy.contents();
            prop_assert_eq!(contents.blocks(), blocks.len());
            let mut total = 0;
            for (number, (block, bytes)) in blocks.iter().zip(&memory).enumerate() {
                // What was copied and what was left are together what was asked for.
                let mut naive = vec![false; bytes.len() / PAGE];
                let mut expected = vec![0; bytes.len()];
                for run in contents.runs(number) {
                    prop_assert_eq!((run.start % (unit * PAGE) as u64, run.end % (unit * PAGE) as u64), (0, 0));
                    total += run.end - run.start;
                    let range = usize::try_from(run.start).unwrap()..usize::try_from(run.end).unwrap();
                    expected[range.clone()].copy_from_slice(&bytes[range.clone()]);
                    naive[range.start / PAGE..range.end / PAGE].fill(true);
                }
                for run in &copied.left[number] {
                    let pages = usize::try_from(run.start).unwrap() / PAGE..usize::try_from(run.end).unwrap() / PAGE;
                    prop_assert!(naive[pages.clone()].iter().all(|is_copied| !is_copied), "{:?} is in both", run);
                    naive[pages].fill(true);
                }
                prop_assert_eq!(runs_of(&naive), block.runs.clone());
                let mut found = vec![0xee; expected.len()];
                contents.read(number, &mut found, 0).unwrap();
                prop_assert_eq!(&found, &expected);
                // Any part reads as that part, with zeros behind the end.
                let mut part = vec![0xee; length];
                contents.read(number, &mut part, offset as u64).unwrap();
                let naive: Vec<u8> = (offset..offset + length).map(|at| expected.get(at).copied().unwrap_or(0)).collect();
                prop_assert_eq!(part, naive);
            }
            prop_assert_eq!(total, copied.bytes);
            let asked: u64 = blocks.iter().flat_map(|block| &block.runs).map(|run| run.end - run.start).sum();
            let room = copy.capacity() / (unit * PAGE) as u64 * (unit * PAGE) as u64;
            prop_assert_eq!(total, asked.min(room));
        }
    }

    #[test]
    fn a_copy_in_use_is_not_overwritten() {
        let bytes = vec![7_u8; 2 * PAGE];
        let blocks = [BlockRuns {
            address: bytes.as_ptr().addr() as u64,
            runs: std::iter::once(0..2 * PAGE as u64).collect(),
        }];
        let copy = ProcessCopy::with_capacity(1 << 20).unwrap();
        copy.copy(std::process::id(), &blocks, PAGE as u64, 2).unwrap();
        let used = copy.contents();
        let error = copy
            .copy(std::process::id(), &blocks, PAGE as u64, 2)
            .unwrap_err();
        assert!(error.message().contains("still being written"), "{error}");
        drop(used);
        copy.copy(std::process::id(), &blocks, PAGE as u64, 2).unwrap();
    }

    #[test]
    fn after_an_error_the_copy_is_empty() {
        let bytes = vec![7_u8; PAGE];
        let good = BlockRuns {
            address: bytes.as_ptr().addr() as u64,
            runs: std::iter::once(0..PAGE as u64).collect(),
        };
        let bad = BlockRuns {
            address: 0,
            runs: std::iter::once(0..PAGE as u64).collect(),
        };
        let copy = ProcessCopy::with_capacity(1 << 20).unwrap();
        copy.copy(std::process::id(), std::slice::from_ref(&good), PAGE as u64, 1)
            .unwrap();
        for threads in [1, 2] {
            copy.copy(
                std::process::id(),
                &[good.clone(), bad.clone()],
                PAGE as u64,
                threads,
            )
            .unwrap_err();
            assert_eq!(copy.contents().blocks(), 0);
        }
        let backwards = BlockRuns {
            runs: vec![8192..12_288, 0..4096],
            ..good.clone()
        };
        assert!(
            copy.copy(std::process::id(), &[backwards], PAGE as u64, 1)
                .is_err()
        );
        for (unit, threads) in [(PAGE as u64, 0), (0, 1), (12_288, 1)] {
            let error = copy.copy(std::process::id(), std::slice::from_ref(&good), unit, threads);
            assert!(error.is_err(), "{unit} {threads}");
        }
    }
}
