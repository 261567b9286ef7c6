//! A program that saves one memory file into a snapshot, or loads it back, and prints the rate. It measures the engine
//! alone.
//!
//! `save FILE MEMORY [save|load] [key=value …]` with channels, depth, request, io_engine (io_uring|threads),
//! direct (on|off)

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;

use mapped_ram_engine::file::{FileSource, PageArea, SnapshotSpec};
use mapped_ram_engine::memory::MemorySpec;
use mapped_ram_engine::{DirectIo, Direction, IoEngine, Plan, Region, Transfer};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, memory, direction, options @ ..] = args.as_slice() else {
        return Err("usage: save FILE MEMORY save|load [key=value …]".into());
    };
    let direction = if direction == "load" {
        Direction::Load
    } else {
        Direction::Save
    };
    let length = if direction == Direction::Save {
        let length = std::fs::metadata(memory)?.len();
        let _ = std::fs::remove_file(file);
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(file)?
            .set_len(length + (1 << 20))?;
        length
    } else {
        std::fs::metadata(file)?.len() - (1 << 20)
    };
    let region = Region {
        name: "ram".to_owned(),
        memory: MemorySpec::File(FileSource::Path(memory.into())),
        memory_offset: 0,
        area: PageArea {
            pages_offset: 1 << 20,
            bitmap_offset: 4096,
            length,
            page_size: 4096,
        },
        store_zero_pages: false,
        memory_is_zero: direction == Direction::Load,
    };
    if direction == Direction::Load {
        OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(memory)?;
    }
    let mut plan = Plan::new(direction, SnapshotSpec::path(file), vec![region]);
    for option in options {
        let (key, value) = option.split_once('=').ok_or("expected key=value")?;
        match key {
            "channels" => plan.tuning.channels = Some(value.parse()?),
            "depth" => plan.tuning.queue_depth = value.parse()?,
            "request" => plan.tuning.request_size = value.parse()?,
            "io_engine" => {
                plan.tuning.io_engine = if value == "threads" {
                    IoEngine::Threads
                } else {
                    IoEngine::IoUring
                }
            }
            "direct" => {
                plan.tuning.direct_io = if value == "on" {
                    DirectIo::On
                } else {
                    DirectIo::Off
                }
            }
            _ => return Err(format!("unknown option {key}").into()),
        }
    }
    let report = Transfer::new(plan).run()?;
    let seconds = report.elapsed.as_secs_f64();
    writeln!(
        std::io::stdout(),
        "{:.3} s, {} MiB/s, {report:?}",
        seconds,
        (report.bytes >> 20) as u128 * 1000 / report.elapsed.as_millis().max(1)
    )?;
    Ok(())
}
