//! A program that runs one of the engine's hot loops so many times, for callgrind to count its instructions.
//! scripts/count-instructions.mjs runs it twice for each case: what the runs differ by is the loop's.
//!
//! `instructions CASE TIMES`, or `instructions list` for the names of the cases.

use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::ops::Range;

use mapped_ram_engine::counted::{data_runs, reads};
use mapped_ram_engine::pages::{AtomicBitmap, Bitmap, Difference, Differences, bitmap_bytes, is_zero};

const PAGE: usize = 4096;
/// The pages of a window of the default size, 1 MiB.
const WINDOW: usize = 256;
/// The pages of 256 MiB.
const BLOCK: u64 = 65_536;

/// Guest memory of one window.
fn window(is_data: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut bytes = vec![0; WINDOW * PAGE];
    for page in (0..WINDOW).filter(|page| is_data(*page)) {
        bytes[page * PAGE..(page + 1) * PAGE].fill(1);
    }
    bytes
}

/// Runs of 1 to 64 pages, data and zeros in turn, in a block.
fn scattered() -> Vec<Range<u64>> {
    let mut runs = Vec::new();
    let mut random: u32 = 1;
    let mut page = 0;
    let mut is_data = true;
    while page < BLOCK {
        // The constants are those of the C standard's example of rand().
        random = random.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        let end = (page + u64::from((random >> 16) % 64) + 1).min(BLOCK);
        if is_data {
            runs.push(page..end);
        }
        is_data = !is_data;
        page = end;
    }
    runs
}

fn every_second() -> Vec<Range<u64>> {
    (0..BLOCK).step_by(2).map(|page| page..page + 1).collect()
}

fn all() -> Vec<Range<u64>> {
    std::iter::once(0..BLOCK).collect()
}

fn atomic(runs: &[Range<u64>]) -> Result<AtomicBitmap, Box<dyn Error>> {
    let bitmap = AtomicBitmap::try_new(BLOCK).ok_or("no memory for a bitmap")?;
    for run in runs {
        bitmap.set(run.clone());
    }
    Ok(bitmap)
}

fn bitmap(runs: &[Range<u64>]) -> Result<Bitmap, Box<dyn Error>> {
    let mut bytes = vec![0; usize::try_from(bitmap_bytes(BLOCK))?];
    atomic(runs)?.copy_bytes(0, &mut bytes);
    let mut bitmap = Bitmap::try_new(BLOCK).ok_or("no memory for a bitmap")?;
    bitmap.fill(0, &bytes);
    Ok(bitmap)
}

type Work = Box<dyn FnMut()>;

fn zero_scan(bytes: Vec<u8>) -> Work {
    Box::new(move || {
        for page in black_box(&bytes).chunks(PAGE) {
            black_box(is_zero(page));
        }
    })
}

fn build_writes(is_data: impl Fn(usize) -> bool) -> Work {
    let bytes = window(is_data);
    Box::new(move || {
        black_box(data_runs(black_box(&bytes), PAGE));
    })
}

fn build_reads(runs: &[Range<u64>]) -> Result<Work, Box<dyn Error>> {
    let bitmap = bitmap(runs)?;
    Ok(Box::new(move || {
        let window = (WINDOW * PAGE) as u64;
        for start in (0..BLOCK * PAGE as u64).step_by(WINDOW * PAGE) {
            black_box(reads(black_box(&bitmap), PAGE as u64, start..start + window));
        }
    }))
}

fn set_bits(runs: Vec<Range<u64>>) -> Result<Work, Box<dyn Error>> {
    let bitmap = atomic(&[])?;
    Ok(Box::new(move || {
        for run in black_box(&runs) {
            black_box(&bitmap).set(run.clone());
        }
    }))
}

fn note_differences(runs: Vec<Range<u64>>) -> Result<Work, Box<dyn Error>> {
    let differences = Differences::try_new(BLOCK).ok_or("no memory for the differences")?;
    Ok(Box::new(move || {
        for run in black_box(&runs) {
            black_box(&differences).set(run.clone(), Difference::Changed);
        }
    }))
}

type Case = (&'static str, fn() -> Result<Work, Box<dyn Error>>);

/// One time of a case is a window of 1 MiB, or a block of 256 MiB where the name says so.
const CASES: [Case; 12] = [
    ("zero scan, zero pages", || Ok(zero_scan(window(|_| false)))),
    ("zero scan, data pages", || Ok(zero_scan(window(|_| true)))),
    ("zero scan, data in the last byte", || {
        let mut bytes = window(|_| false);
        for page in bytes.chunks_mut(PAGE) {
            page[PAGE - 1] = 1;
        }
        Ok(zero_scan(bytes))
    }),
    ("runs to write, all data", || Ok(build_writes(|_| true))),
    ("runs to write, all zero", || Ok(build_writes(|_| false))),
    ("runs to write, every second page", || {
        Ok(build_writes(|page| page.is_multiple_of(2)))
    }),
    ("runs to read of a block, all set", || build_reads(&all())),
    ("runs to read of a block, scattered", || build_reads(&scattered())),
    ("runs to read of a block, every second page", || {
        build_reads(&every_second())
    }),
    ("bits of a block, scattered", || set_bits(scattered())),
    ("bits of a block, all", || set_bits(all())),
    ("differences of a block, scattered", || {
        note_differences(scattered())
    }),
];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [list] if list == "list" => {
            for (name, _) in CASES {
                writeln!(std::io::stdout(), "{name}")?;
            }
        }
        [name, times] => {
            let case = CASES.iter().find(|(known, _)| known == name);
            let (_, make) = case.ok_or("the case is not known; list prints those that are")?;
            let mut work = make()?;
            for _ in 0..times.parse()? {
                work();
            }
        }
        _ => return Err("usage: instructions CASE TIMES, or instructions list".into()),
    }
    Ok(())
}
