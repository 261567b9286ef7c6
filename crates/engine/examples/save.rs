//! A program that saves one memory file into a snapshot, loads it back, reads it only, or compares it with another
//! snapshot, and prints the rate. It measures the engine alone.
//!
//! `save FILE MEMORY [save|load|scan|compare] [key=value …]` with channels, depth, request, io_engine
//! (io_uring|threads), direct (on|off|auto). A scan reads no memory; MEMORY is the other snapshot of a comparison.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;

use mapped_ram_engine::compare::Right;
use mapped_ram_engine::file::{FileSource, PageArea, SnapshotSpec};
use mapped_ram_engine::memory::MemorySpec;
use mapped_ram_engine::{
    ComparePlan, Compared, Comparison, DirectIo, Direction, IoEngine, Plan, Region, Report, Transfer, Tuning,
};

/// The bytes before the first page.
const HEAD: u64 = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, memory, action, options @ ..] = args.as_slice() else {
        return Err("usage: save FILE MEMORY save|load|scan|compare [key=value …]".into());
    };
    let tuning = tuning(options)?;
    let report = match action.as_str() {
        "save" => {
            let length = std::fs::metadata(memory)?.len();
            let _ = std::fs::remove_file(file);
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(file)?
                .set_len(length + HEAD)?;
            transfer(Direction::Save, file, Some(memory), tuning)?
        }
        "load" => {
            OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .open(memory)?;
            transfer(Direction::Load, file, Some(memory), tuning)?
        }
        "scan" => transfer(Direction::Scan, file, None, tuning)?,
        "compare" => compare(file, memory, tuning)?,
        other => return Err(format!("unknown action {other}").into()),
    };
    writeln!(
        std::io::stdout(),
        "{:.3} s, {} MiB/s, {report:?}",
        report.elapsed.as_secs_f64(),
        (report.bytes >> 20) as u128 * 1000 / report.elapsed.as_millis().max(1)
    )?;
    Ok(())
}

fn transfer(
    direction: Direction,
    file: &str,
    memory: Option<&str>,
    tuning: Tuning,
) -> Result<Report, Box<dyn Error>> {
    let region = Region {
        name: "ram".to_owned(),
        memory: memory.map_or(MemorySpec::None, |memory| {
            MemorySpec::File(FileSource::Path(memory.into()))
        }),
        memory_offset: 0,
        area: area(file)?,
        store_zero_pages: false,
        only: None,
        memory_is_zero: direction == Direction::Load,
    };
    let mut plan = Plan::new(direction, SnapshotSpec::path(file), vec![region]);
    plan.tuning = tuning;
    Ok(Transfer::new(plan).run()?)
}

fn compare(left: &str, right: &str, tuning: Tuning) -> Result<Report, Box<dyn Error>> {
    let block = Compared {
        name: "ram".to_owned(),
        left: area(left)?,
        right: Right::Pages(area(right)?),
    };
    let right = Some(SnapshotSpec::path(right));
    let mut plan = ComparePlan::new(SnapshotSpec::path(left), right, vec![block]);
    plan.tuning = tuning;
    Ok(Comparison::new(plan).run()?.report)
}

fn area(file: &str) -> Result<PageArea, Box<dyn Error>> {
    Ok(PageArea {
        pages_offset: HEAD,
        bitmap_offset: 4096,
        length: std::fs::metadata(file)?.len() - HEAD,
        page_size: 4096,
    })
}

fn tuning(options: &[String]) -> Result<Tuning, Box<dyn Error>> {
    let mut tuning = Tuning::default();
    for option in options {
        let (key, value) = option.split_once('=').ok_or("expected key=value")?;
        match (key, value) {
            ("channels", _) => tuning.channels = Some(value.parse()?),
            ("depth", _) => tuning.queue_depth = value.parse()?,
            ("request", _) => tuning.request_size = value.parse()?,
            ("io_engine", "threads") => tuning.io_engine = IoEngine::Threads,
            ("io_engine", "io_uring") => tuning.io_engine = IoEngine::IoUring,
            ("direct", "on") => tuning.direct_io = DirectIo::On,
            ("direct", "off") => tuning.direct_io = DirectIo::Off,
            ("direct", "auto") => tuning.direct_io = DirectIo::Auto,
            _ => return Err(format!("unknown option {option}").into()),
        }
    }
    Ok(tuning)
}
