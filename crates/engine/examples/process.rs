//! A program that measures a copy of its own memory as of another process's, and the search for pages, in alternating
//! rounds; it prints medians.
//!
//! `process MIB ROUNDS`: the copied memory, of which the program takes twice as much.

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use mapped_ram_engine::process::{BlockRuns, ProcessCopy, ProcessPages, ScanMethod, changed_pages};
use memmap2::{Advice, MmapMut};

const PAGE: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<usize> = std::env::args()
        .skip(1)
        .map(|arg| arg.parse())
        .collect::<Result<_, _>>()?;
    let [mib, rounds] = *args.as_slice() else {
        return Err("usage: process MIB ROUNDS".into());
    };
    let bytes = mib << 20;
    let mut memory = MmapMut::map_anon(bytes)?;
    memory.advise(Advice::HugePage)?;
    for (page, content) in memory.chunks_mut(PAGE).enumerate() {
        content.fill(u8::try_from(page % 255)? + 1);
    }
    let address = memory.as_ptr().addr() as u64;
    // Every 8th page.
    let mut scattered = MmapMut::map_anon(bytes)?;
    scattered.advise(Advice::NoHugePage)?;
    for page in scattered.chunks_mut(PAGE).step_by(8) {
        page[0] = 1;
    }
    let idle = MmapMut::map_anon(bytes)?;
    let whole = vec![BlockRuns {
        address,
        runs: std::iter::once(0..bytes as u64).collect(),
    }];
    let single = vec![BlockRuns {
        address,
        runs: (0..bytes as u64)
            .step_by(2 * PAGE)
            .map(|start| start..start + PAGE as u64)
            .collect(),
    }];
    let pid = std::process::id();
    let mut found: Vec<(&str, Vec<f64>)> = Vec::new();
    let mut note = |name: &'static str, value: f64| match found.iter_mut().find(|(known, _)| *known == name) {
        Some((_, values)) => values.push(value),
        None => found.push((name, vec![value])),
    };
    let rate = |bytes: u64, started: Instant| bytes as f64 / 1e9 / started.elapsed().as_secs_f64();
    for _ in 0..rounds {
        let started = Instant::now();
        let copy = ProcessCopy::with_capacity(bytes as u64)?;
        note("populate, GB/s", rate(bytes as u64, started));
        for (name, blocks, threads) in [
            ("copy, 1 thread, GB/s", &whole, 1),
            ("copy, 2 threads, GB/s", &whole, 2),
            ("copy of single pages, 1 thread, GB/s", &single, 1),
            ("copy of single pages, 2 threads, GB/s", &single, 2),
        ] {
            let started = Instant::now();
            let copied = copy.copy(pid, blocks, 4096, threads)?;
            note(name, rate(copied.bytes, started));
        }
        drop(copy);
        // The kernel makes the pages of a new buffer while it copies.
        let mut buffer = vec![0_u8; bytes];
        let started = Instant::now();
        copy_by_hand(address, &mut buffer)?;
        note(
            "copy into pages that do not exist, 1 thread, GB/s",
            rate(bytes as u64, started),
        );
        drop(buffer);
        for (name, place, method) in [
            (
                "every 8th page, scan, ms/GiB",
                &scattered,
                ScanMethod::PagemapScan,
            ),
            (
                "every 8th page, page map, ms/GiB",
                &scattered,
                ScanMethod::Pagemap,
            ),
            ("never touched, scan, ms/GiB", &idle, ScanMethod::PagemapScan),
            ("never touched, page map, ms/GiB", &idle, ScanMethod::Pagemap),
            ("huge pages, scan, ms/GiB", &memory, ScanMethod::PagemapScan),
            ("huge pages, page map, ms/GiB", &memory, ScanMethod::Pagemap),
        ] {
            let start = place.as_ptr().addr() as u64;
            let started = Instant::now();
            changed_pages(
                pid,
                std::slice::from_ref(&(start..start + bytes as u64)),
                ProcessPages::Present,
                method,
                1,
            )?;
            note(
                name,
                started.elapsed().as_secs_f64() * 1e3 / (mib as f64 / 1024.0),
            );
        }
    }
    let mut out = std::io::stdout().lock();
    for (name, mut values) in found {
        values.sort_by(f64::total_cmp);
        let (low, high) = (values[0], values[values.len() - 1]);
        writeln!(
            out,
            "{name:50} {:8.2} ({low:.2} to {high:.2})",
            values[values.len() / 2]
        )?;
    }
    Ok(())
}

fn copy_by_hand(address: u64, buffer: &mut [u8]) -> Result<(), Box<dyn Error>> {
    use nix::sys::uio::{RemoteIoVec, process_vm_readv};
    let (mut done, length) = (0, buffer.len());
    while done < length {
        let there = RemoteIoVec {
            base: usize::try_from(address)? + done,
            len: length - done,
        };
        let here = std::io::IoSliceMut::new(&mut buffer[done..]);
        done += process_vm_readv(nix::unistd::getpid(), &mut [here], &[there])?;
    }
    Ok(())
}
