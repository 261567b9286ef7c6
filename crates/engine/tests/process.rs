//! The memory of another process: a child that maps, writes, reads and gives up pages when it is told to.

#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use common::{MIB, Noise, Place, TestFile};
use mapped_ram_engine::digest::PieceDigests;
use mapped_ram_engine::file::PageArea;
use mapped_ram_engine::memory::{MemorySpec, ProcessBlock};
use mapped_ram_engine::pages::is_zero;
use mapped_ram_engine::process::{
    BlockRuns, ProcessCopy, ProcessPages, ScanMethod, changed_pages, process_rights,
};
use mapped_ram_engine::{BaseBits, Direction, EngineError, ErrorKind, Only, Plan, Region, Transfer, Tuning};
use memmap2::{Advice, MmapMut, MmapOptions};

const PAGE: u64 = 4096;
/// The environment of a child that obeys this test.
const CHILD: &str = "MAPPED_RAM_TEST_CHILD";

/// The child. It is this very program, told to run this "test" alone.
#[test]
fn obey_the_parent() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let mut memory = MmapMut::map_anon(1).expect("a page");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("an order");
        let words: Vec<&str> = line.split(' ').collect();
        let number = |index: usize| words[index].parse::<usize>().expect("a number");
        let page = common::size(PAGE);
        let mut answer = 0;
        match words[0] {
            "anonymous" => {
                memory = MmapMut::map_anon(number(1) * page).expect("memory");
                // A huge page would be touched as a whole.
                memory.advise(Advice::NoHugePage).expect("advice");
                answer = memory.as_ptr().addr();
            }
            "private" => {
                let file = File::open(words[1]).expect("the file");
                // SAFETY: needed because no other call maps a file privately. It is sound because nobody cuts the file
                // short while this child lives.
                memory = unsafe { MmapOptions::new().map_copy(&file) }.expect("a mapping");
                memory.advise(Advice::NoHugePage).expect("advice");
                answer = memory.as_ptr().addr();
            }
            "write" => {
                let value = u8::try_from(number(3)).expect("a byte");
                for index in number(1)..number(1) + number(2) {
                    memory[index * page..(index + 1) * page].fill(value);
                }
            }
            "read" => {
                for index in number(1)..number(1) + number(2) {
                    answer += usize::from(std::hint::black_box(memory[index * page + 17]));
                }
            }
            "out" => {
                let part = &mut memory[number(1) * page..(number(1) + number(2)) * page];
                let (start, length) = (part.as_mut_ptr().cast(), part.len());
                // SAFETY: needed because safe calls do not give this advice. It is sound because the range is a part of the
                // mapping, and pages that are swapped out keep their contents.
                let _ = unsafe { rustix::mm::madvise(start, length, rustix::mm::Advice::LinuxPageOut) };
            }
            other => panic!("unknown order {other}"),
        }
        writeln!(std::io::stdout(), "@{answer}").expect("an answer");
    }
}

/// The environment of a child that says what it may read, and of which process.
const LOOKER: &str = "MAPPED_RAM_TEST_LOOKER";

/// The other child.
#[test]
fn say_what_may_be_read() {
    let Ok(place) = std::env::var(LOOKER) else {
        return;
    };
    let (pid, address) = place.split_once(' ').expect("a process and an address");
    let rights = process_rights(pid.parse().expect("a number"), address.parse().expect("a number"));
    writeln!(std::io::stdout(), "@{:?}@{:?}", rights.pagemap, rights.memory).expect("an answer");
}

struct Obedient {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Obedient {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "obey_the_parent", "--nocapture", "--test-threads=1"])
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        Self {
            orders: child.stdin.take().expect("its input"),
            answers: BufReader::new(child.stdout.take().expect("its output")),
            child,
        }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn tell(&mut self, order: &str) -> u64 {
        writeln!(self.orders, "{order}").expect("a child that listens");
        loop {
            let mut line = String::new();
            let count = self.answers.read_line(&mut line).expect("an answer");
            assert!(count > 0, "the child has ended");
            if let Some((_, answer)) = line.split_once('@') {
                return answer.trim().parse().expect("a number");
            }
        }
    }

    fn kill(&mut self) {
        self.child.kill().expect("a child to kill");
        self.child.wait().expect("its end");
    }
}

impl Drop for Obedient {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn runs_of(wanted: impl Fn(u64) -> bool, pages: u64) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for page in (0..pages).filter(|page| wanted(*page)) {
        match runs.last_mut() {
            Some(run) if run.end == page * PAGE => run.end += PAGE,
            _ => runs.push(page * PAGE..(page + 1) * PAGE),
        }
    }
    runs
}

/// Runs in bytes, by their first pages and the pages behind them.
fn runs<const COUNT: usize>(pages: [(u64, u64); COUNT]) -> Vec<Range<u64>> {
    pages.map(|(start, end)| start * PAGE..end * PAGE).into()
}

/// The oracle: it reads the entry of one page after the other.
fn entries(pid: u32, address: u64, pages: u64) -> Vec<u64> {
    let pagemap = File::open(format!("/proc/{pid}/pagemap")).expect("a page map");
    (0..pages)
        .map(|page| {
            let mut entry = [0; 8];
            pagemap
                .read_exact_at(&mut entry, (address / PAGE + page) * 8)
                .expect("an entry");
            u64::from_ne_bytes(entry)
        })
        .collect()
}

fn scan(
    pid: u32,
    range: &Range<u64>,
    pages: ProcessPages,
    method: ScanMethod,
) -> Result<Vec<Range<u64>>, EngineError> {
    let mut found = changed_pages(pid, std::slice::from_ref(range), pages, method, 1)?;
    assert_eq!(found.len(), 1);
    Ok(found.remove(0))
}

/// Compares all scans with the oracle, and the oracle with what the child has done.
fn compare_scans(child: &Obedient, address: u64, touched: &[bool], written: &[bool], is_file: bool) {
    let (pid, pages) = (child.pid(), touched.len() as u64);
    let range = address..address + pages * PAGE;
    let entries = entries(pid, address, pages);
    let entry = |page: u64| entries[common::size(page)];
    let present = runs_of(|page| entry(page) >> 62 != 0, pages);
    let changed = runs_of(|page| entry(page) >> 62 != 0 && entry(page) >> 61 & 1 == 0, pages);
    let did = |marks: &[bool]| runs_of(|page| marks[common::size(page)], pages);
    if is_file {
        assert_eq!(changed, did(written), "what was written is no more the file's");
    } else {
        assert_eq!(present, did(touched), "what was touched exists");
    }
    for method in [ScanMethod::Auto, ScanMethod::Pagemap, ScanMethod::PagemapScan] {
        let found = |wanted| match scan(pid, &range, wanted, method) {
            Err(error) if method == ScanMethod::PagemapScan && error.kind() == ErrorKind::Unsupported => None,
            found => Some(found.expect("a scan")),
        };
        let Some(found_present) = found(ProcessPages::Present) else {
            common::skipped("PAGEMAP_SCAN", "the kernel is older than 6.7");
            continue;
        };
        assert_eq!(found_present, present, "{method:?}");
        assert_eq!(found(ProcessPages::Changed), Some(changed.clone()), "{method:?}");
        assert_eq!(found(ProcessPages::All), Some(runs([(0, pages)])), "{method:?}");
        let data = found(ProcessPages::Data).expect("a scan");
        let is_in = |runs: &[Range<u64>], page: u64| runs.iter().any(|run| run.contains(&(page * PAGE)));
        for page in 0..pages {
            let is_data = is_in(&data, page);
            assert!(
                !is_data || is_in(&present, page),
                "page {page} is not there, {method:?}"
            );
            assert!(
                is_data || !written[common::size(page)],
                "page {page} was written, {method:?}"
            );
        }
    }
}

#[test]
fn the_scans_agree_with_a_look_at_one_page_after_the_other() {
    const PAGES: usize = 5000;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("base");
    let file = File::create(&path).unwrap();
    file.set_len(PAGES as u64 * PAGE).unwrap();
    file.write_all_at(&vec![3; 1 << 20], 2 << 20).unwrap();
    let mut child = Obedient::start();
    for (seed, is_file) in [(1, false), (2, true), (3, false), (4, true), (5, true)] {
        let order = if is_file {
            format!("private {}", path.display())
        } else {
            format!("anonymous {PAGES}")
        };
        let address = child.tell(&order);
        let (mut touched, mut written) = (vec![false; PAGES], vec![false; PAGES]);
        let mut noise = Noise::new(seed);
        for _ in 0..60 {
            let first = common::size(noise.below(PAGES as u64));
            let count = common::size([1, 2, 63, 64, 300][common::size(noise.below(5))]).min(PAGES - first);
            match noise.below(5) {
                0 => drop(child.tell(&format!("read {first} {count}"))),
                1 => {
                    child.tell(&format!("out {first} {count}"));
                    continue;
                }
                value => {
                    // Zeros count as well.
                    child.tell(&format!("write {first} {count} {}", value - 2));
                    written[first..first + count].fill(true);
                }
            }
            touched[first..first + count].fill(true);
        }
        if seed == 5 {
            // As many stretches as fill the kernel's own buffer several times.
            for page in (1..PAGES).step_by(2).take(2048) {
                child.tell(&format!("write {page} 1 9"));
                touched[page] = true;
                written[page] = true;
            }
        }
        compare_scans(&child, address, &touched, &written, is_file);
    }
}

#[test]
fn several_ranges_are_scanned_at_once_and_in_units() {
    let mut child = Obedient::start();
    let address = child.tell("anonymous 300");
    child.tell("write 3 2 1");
    child.tell("write 90 1 1");
    child.tell("write 299 1 1");
    let ranges = [
        address..address + 64 * PAGE,
        address + 64 * PAGE..address + 300 * PAGE,
        address..address,
    ];
    let find = |unit| {
        changed_pages(
            child.pid(),
            &ranges,
            ProcessPages::Present,
            ScanMethod::Auto,
            unit,
        )
        .unwrap()
    };
    assert_eq!(find(1), [runs([(3, 5)]), runs([(26, 27), (235, 236)]), vec![]]);
    assert_eq!(
        find(16 * PAGE),
        [runs([(0, 16)]), runs([(16, 32), (224, 236)]), vec![]]
    );
}

fn plan(file: &TestFile, memory: MemorySpec, pages: u64, offset: u64) -> Plan {
    let region = Region {
        name: "ram".to_owned(),
        memory,
        memory_offset: offset,
        area: PageArea {
            pages_offset: MIB,
            bitmap_offset: 4096,
            length: pages * PAGE,
            page_size: PAGE,
        },
        store_zero_pages: false,
        only: None,
        memory_is_zero: false,
    };
    Plan::new(Direction::Save, file.snapshot(), vec![region])
}

/// Compares a snapshot with what the child has written: the byte in each page.
fn assert_saved(file: &TestFile, pages: &[u8]) {
    let found = file.contents();
    for (page, byte) in pages.iter().enumerate() {
        let bit = found[4096 + page / 8] >> (page % 8) & 1;
        assert_eq!(bit == 1, *byte != 0, "bit of page {page}");
        let start = common::size(MIB) + page * 4096;
        let content = found.get(start..start + 4096).unwrap_or_default();
        assert!(
            content.iter().all(|found| found == byte) && (content.len() == 4096 || *byte == 0),
            "page {page}"
        );
    }
    let units = common::data_units(&file.file, MIB..MIB + pages.len() as u64 * PAGE);
    let data = pages.iter().filter(|byte| **byte != 0).count();
    // Small gaps may have been written as zeros.
    assert!(
        units.len() >= data && units.len() <= data + data / 8,
        "{} for {data}",
        units.len()
    );
}

#[test]
fn a_save_has_what_the_process_has() {
    const PAGES: usize = 3000;
    let directory = tempfile::tempdir().unwrap();
    let mut child = Obedient::start();
    let address = child.tell(&format!("anonymous {}", PAGES + 5));
    let mut pages = vec![0_u8; PAGES];
    let mut noise = Noise::new(11);
    for _ in 0..40 {
        let first = common::size(noise.below(PAGES as u64));
        let count = common::size([1, 2, 63, 64, 300][common::size(noise.below(5))]).min(PAGES - first);
        let value = u8::try_from(noise.below(4)).unwrap();
        child.tell(&format!("write {} {count} {value}", first + 5));
        child.tell(&format!("read {} 3", common::size(noise.below(PAGES as u64))));
        pages[first..first + count].fill(value);
    }
    let pid = child.pid();
    for wanted in [ProcessPages::Present, ProcessPages::Data, ProcessPages::All] {
        let file = TestFile::new(directory.path(), &format!("{wanted:?}"), Place::Disk);
        file.file.set_len(MIB + PAGES as u64 * PAGE).unwrap();
        let memory = MemorySpec::Process(ProcessBlock {
            pid,
            address,
            pages: wanted,
        });
        Transfer::new(plan(&file, memory, PAGES as u64, 5 * PAGE))
            .run()
            .unwrap();
        assert_saved(&file, &pages);
    }

    // A copy has the same, and keeps it when the process goes on.
    let range = address + 5 * PAGE..address + (PAGES as u64 + 5) * PAGE;
    let runs = scan(pid, &range, ProcessPages::Present, ScanMethod::Auto).unwrap();
    let copy = ProcessCopy::with_capacity(PAGES as u64 * PAGE).unwrap();
    let block = BlockRuns {
        address: range.start,
        runs: runs.clone(),
    };
    let copied = copy.copy(pid, &[block], 4096, 2).unwrap();
    assert_eq!(
        copied.bytes,
        runs.iter().map(|run| run.end - run.start).sum::<u64>()
    );
    child.tell(&format!("write 0 {PAGES} 77"));
    child.kill();
    let file = TestFile::new(directory.path(), "copied", Place::Disk);
    file.file.set_len(MIB + PAGES as u64 * PAGE).unwrap();
    let copy = Arc::new(copy);
    Transfer::new(plan(
        &file,
        MemorySpec::Copy(Arc::clone(&copy), 0),
        PAGES as u64,
        0,
    ))
    .run()
    .unwrap();
    assert_saved(&file, &pages);
    let error = Transfer::new(plan(&file, MemorySpec::Copy(copy, 1), PAGES as u64, 0))
        .run()
        .unwrap_err();
    assert!(error.message().contains("the copy has 1 blocks"), "{error}");
}

/// A request writes small gaps too, and what its buffer held before must not get there.
#[test]
fn pages_that_do_not_exist_between_others_are_zeros() {
    const PAGES: usize = 1600;
    let directory = tempfile::tempdir().unwrap();
    let mut child = Obedient::start();
    let address = child.tell(&format!("anonymous {PAGES}"));
    let mut pages = vec![0; PAGES];
    // The gaps of a window lie where others have data.
    let mut noise = Noise::new(1);
    for first in (0..PAGES).step_by(16) {
        let from = first + common::size(noise.below(2));
        child.tell(&format!("write {from} 15 7"));
        pages[from..from + 15].fill(7);
    }
    let file = TestFile::new(directory.path(), "found", Place::Disk);
    file.file.set_len(MIB + PAGES as u64 * PAGE).unwrap();
    let memory = MemorySpec::Process(ProcessBlock {
        pid: child.pid(),
        address,
        pages: ProcessPages::Present,
    });
    let mut plan = plan(&file, memory, PAGES as u64, 0);
    plan.tuning = Tuning {
        channels: Some(1),
        queue_depth: 2,
        request_size: 256 << 10,
        ..Tuning::default()
    };
    Transfer::new(plan).run().unwrap();
    assert_saved(&file, &pages);
}

/// Pages that are not read lie between those that are, in buffers that have held others.
#[test]
fn digests_are_those_of_the_same_memory_in_a_file() {
    const PAGES: u64 = 2000;
    let directory = tempfile::tempdir().unwrap();
    let held = TestFile::new(directory.path(), "held", Place::Disk);
    held.file.set_len(PAGES * PAGE).unwrap();
    let mut child = Obedient::start();
    let address = child.tell(&format!("anonymous {PAGES}"));
    let mut noise = Noise::new(3);
    for _ in 0..200 {
        let page = noise.below(PAGES);
        let value = u8::try_from(noise.below(3)).unwrap();
        child.tell(&format!("write {page} 1 {value}"));
        held.file.write_all_at(&[value; 4096], page * PAGE).unwrap();
    }
    let memory = MemorySpec::Process(ProcessBlock {
        pid: child.pid(),
        address,
        pages: ProcessPages::Present,
    });
    let digest = |name: &str, memory: MemorySpec| {
        let file = TestFile::new(directory.path(), name, Place::Disk);
        file.file.set_len(MIB + PAGES * PAGE).unwrap();
        let digests = Arc::new(PieceDigests::new(256 << 10, PAGE).unwrap());
        let visitor = Arc::clone(&digests);
        Transfer::new(plan(&file, memory, PAGES, 0))
            .visited_by(visitor)
            .run()
            .unwrap();
        let pieces = digests
            .take()
            .into_iter()
            .map(|piece| (piece.offset, piece.digest));
        pieces.collect::<Vec<_>>()
    };
    let found = digest("one", memory.clone());
    assert!(found.len() > 10);
    assert_eq!(found, digest("two", MemorySpec::File(held.source())));

    let file = TestFile::new(directory.path(), "three", Place::Disk);
    let mut limited = plan(&file, memory, PAGES, 0);
    limited.regions[0].only =
        Some(Only::of_runs("ram", &limited.regions[0].area, &[], BaseBits::Clear).unwrap());
    let digests = Arc::new(PieceDigests::new(256 << 10, PAGE).unwrap());
    let error = Transfer::new(limited).visited_by(digests).run().unwrap_err();
    assert!(error.message().contains("cannot make digests"), "{error}");
}

#[test]
fn changed_pages_of_a_file_are_saved_and_the_others_taken_for_zeros() {
    const PAGES: u64 = 600;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("base");
    std::fs::write(&path, vec![9; common::size(PAGES * PAGE)]).unwrap();
    let mut child = Obedient::start();
    let address = child.tell(&format!("private {}", path.display()));
    child.tell("read 0 600");
    child.tell("write 7 3 5");
    child.tell("write 300 2 0");
    child.tell("out 0 600");
    let file = TestFile::new(directory.path(), "found", Place::Disk);
    file.file.set_len(MIB + PAGES * PAGE).unwrap();
    let memory = MemorySpec::Process(ProcessBlock {
        pid: child.pid(),
        address,
        pages: ProcessPages::Changed,
    });
    Transfer::new(plan(&file, memory, PAGES, 0)).run().unwrap();
    let mut pages = vec![0; common::size(PAGES)];
    pages[7..10].fill(5);
    let units = common::data_units(&file.file, MIB..MIB + PAGES * PAGE);
    assert_eq!(units.len(), 3);
    let found = file.contents();
    assert!(
        found[common::size(MIB + 7 * PAGE)..common::size(MIB + 10 * PAGE)]
            .iter()
            .all(|byte| *byte == 5)
    );
    assert!(is_zero(&found[common::size(MIB + 10 * PAGE)..]));
}

#[test]
fn memory_that_is_not_there_is_an_error_that_says_where() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Obedient::start();
    let address = child.tell("anonymous 10");
    child.tell("write 0 10 1");
    let pid = child.pid();
    let file = TestFile::new(directory.path(), "found", Place::Disk);
    let save = |address: u64, pages: u64| {
        let memory = MemorySpec::Process(ProcessBlock {
            pid,
            address,
            pages: ProcessPages::Present,
        });
        Transfer::new(plan(&file, memory, pages, 0)).run().unwrap_err()
    };
    // Nothing is mapped at the start of the address space.
    let error = save(PAGE, 1);
    assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
    assert_eq!(error.path(), Some(format!("/proc/{pid}/mem").as_str()));
    assert_eq!(error.offset(), Some(PAGE));
    assert!(
        error
            .message()
            .contains("expected 4096 readable bytes at 0x1000, found nothing"),
        "{error}"
    );
    let copy = ProcessCopy::with_capacity(MIB).unwrap();
    let block = BlockRuns {
        address: PAGE,
        runs: std::iter::once(0..PAGE).collect(),
    };
    let error = copy.copy(pid, &[block], 4096, 1).unwrap_err();
    assert_eq!(
        (error.kind(), error.offset()),
        (ErrorKind::Truncated, Some(PAGE)),
        "{error}"
    );
    let rights = process_rights(pid, address);
    assert_eq!((rights.pagemap, rights.memory), (None, None));

    // A child that is gone, but that nobody has waited for, still has its files below /proc.
    child.child.kill().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !std::fs::read(format!("/proc/{pid}/maps")).is_ok_and(|text| text.is_empty()) {
        assert!(std::time::Instant::now() < deadline, "the child does not end");
        std::thread::yield_now();
    }
    let error = save(address, 10);
    assert!(
        error.message().contains("found no memory: it has ended"),
        "{error}"
    );
    assert!(process_rights(pid, address).memory.is_some());
    child.child.wait().unwrap();
    let error = save(address, 10);
    assert!(error.message().contains("there is none"), "{error}");
    let error = scan(
        pid,
        &(address..address + PAGE),
        ProcessPages::Present,
        ScanMethod::Auto,
    )
    .unwrap_err();
    assert!(error.message().contains("there is none"), "{error}");
}

#[test]
fn a_load_into_a_process_is_refused() {
    let file = TestFile::new(&std::env::temp_dir(), "snapshot", Place::Memfd);
    file.file.set_len(2 * MIB).unwrap();
    let memory = MemorySpec::Process(ProcessBlock {
        pid: std::process::id(),
        address: PAGE,
        pages: ProcessPages::All,
    });
    let mut plan = plan(&file, memory, 1, 0);
    plan.direction = Direction::Load;
    let error = Transfer::new(plan).run().unwrap_err();
    assert!(error.message().contains("can be read only"), "{error}");
}

#[test]
fn a_process_that_may_not_look_says_what_it_may_not() {
    let mut child = Obedient::start();
    let address = child.tell("anonymous 10");
    // A process without this right may not look into one that has it.
    let looker = Command::new("setpriv")
        .args(["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "say_what_may_be_read",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(LOOKER, format!("{} {address}", child.pid()))
        .output();
    let said = looker.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let Some((_, answer)) = said.as_ref().ok().and_then(|text| text.split_once('@')) else {
        common::skipped("a process without rights", "setpriv cannot take one away here");
        return;
    };
    let (_, memory) = answer.split_once('@').unwrap();
    let expected = format!(
        "reading the memory of process {}: expected 4096 bytes at {address:#x}",
        child.pid()
    );
    assert!(
        memory.contains(&expected) && memory.contains("takes CAP_SYS_PTRACE"),
        "{answer}"
    );
}
