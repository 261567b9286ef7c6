//! A transfer plan as JavaScript hands it over. Defaults live in TypeScript or in the engine, not here.

use std::sync::Arc;

use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::{FileSource, PageArea, SnapshotSpec};
use mapped_ram_engine::memory::{ByteMemory, MemorySpec, SnapshotBlock};
use mapped_ram_engine::{DirectIo, Direction, EngineChoice, EngineError, ErrorKind, Plan, Region};
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

#[napi(object, object_to_js = false)]
pub struct BindingPlan {
    #[napi(ts_type = "'save' | 'load' | 'scan'")]
    pub direction: String,
    /// The snapshot: exactly one of `path` and `fd`.
    pub path: Option<String>,
    pub fd: Option<i32>,
    /// A descriptor of the same file that was opened with O_DIRECT.
    pub direct_fd: Option<i32>,
    /// How errors call the snapshot.
    pub name: String,
    pub regions: Vec<BindingRegion>,
    pub page_size: Option<u32>,
    /// Save and scan: digests are made of the blocks' pieces of this many bytes.
    pub piece_size: Option<u32>,
    pub channels: Option<u32>,
    pub queue_depth: Option<u32>,
    pub request_size: Option<u32>,
    #[napi(ts_type = "'auto' | 'io_uring' | 'threads'")]
    pub engine: Option<String>,
    #[napi(ts_type = "'auto' | 'on' | 'off'")]
    pub direct_io: Option<String>,
}

#[napi(object, object_to_js = false)]
pub struct BindingRegion {
    pub name: String,
    /// Where the memory is: exactly one of `path`, `fd`, `buffer` (save) and `bufferLength` (load); for a scan none.
    pub path: Option<String>,
    pub fd: Option<i32>,
    /// Copied when the transfer is made.
    pub buffer: Option<Uint8Array>,
    /// The bytes come back with the outcome.
    pub buffer_length: Option<i64>,
    pub memory_offset: i64,
    /// The path or descriptor is another snapshot, and the memory is one of its blocks (save): both, or neither.
    pub memory_pages_offset: Option<i64>,
    pub memory_bitmap_offset: Option<i64>,
    pub length: i64,
    pub pages_offset: i64,
    pub bitmap_offset: i64,
    pub store_zero_pages: Option<bool>,
    pub memory_is_zero: Option<bool>,
}

impl BindingPlan {
    /// The engine's plan, and the buffers to give back, one place per region.
    pub(crate) fn into_plan(self) -> Result<(Plan, Vec<Option<Arc<ByteMemory>>>)> {
        let direction = match self.direction.as_str() {
            "save" => Direction::Save,
            "load" => Direction::Load,
            "scan" => Direction::Scan,
            other => return Err(invalid("direction", "save, load or scan", other)),
        };
        let snapshot = SnapshotSpec {
            file: file_source("snapshot", self.path, self.fd)?,
            direct: self.direct_fd.map(|fd| descriptor("directFd", fd)).transpose()?,
            name: self.name,
        };
        let mut buffers = Vec::with_capacity(self.regions.len());
        let mut regions = Vec::with_capacity(self.regions.len());
        let page_size = self.page_size.unwrap_or(4096);
        for region in self.regions {
            let (region, buffer) = region.into_region(direction, page_size)?;
            regions.push(region);
            buffers.push(buffer);
        }
        let mut plan = Plan::new(direction, snapshot, regions);
        plan.page_size = self.page_size.map_or(plan.page_size, u64::from);
        plan.channels = self.channels.map(count).transpose()?;
        plan.queue_depth = self.queue_depth.map_or(Ok(plan.queue_depth), count)?;
        plan.request_size = self.request_size.map_or(Ok(plan.request_size), count)?;
        plan.engine = engine_choice(self.engine.as_deref())?;
        plan.direct_io = direct_io(self.direct_io.as_deref())?;
        Ok((plan, buffers))
    }
}

impl BindingRegion {
    fn into_region(self, direction: Direction, page_size: u32) -> Result<(Region, Option<Arc<ByteMemory>>)> {
        let bytes = match (self.buffer, self.buffer_length) {
            // JavaScript may change its buffer while another thread reads it, so the engine gets a copy.
            (Some(buffer), _) => Some(buffer.to_vec()),
            (None, Some(length)) => Some(vec![0; count(offset("bufferLength", length)?)?]),
            (None, None) => None,
        };
        let buffer = bytes.map(|bytes| Arc::new(ByteMemory::new(bytes)));
        let memory = match &buffer {
            _ if direction == Direction::Scan => MemorySpec::None,
            Some(bytes) => MemorySpec::Bytes(Arc::clone(bytes)),
            None => file_memory(
                file_source(&self.name, self.path, self.fd)?,
                &self.name,
                self.memory_pages_offset,
                self.memory_bitmap_offset,
                self.length,
                page_size,
            )?,
        };
        let region = Region {
            memory,
            memory_offset: offset("memoryOffset", self.memory_offset)?,
            length: offset("length", self.length)?,
            pages_offset: offset("pagesOffset", self.pages_offset)?,
            bitmap_offset: offset("bitmapOffset", self.bitmap_offset)?,
            store_zero_pages: self.store_zero_pages.unwrap_or(false),
            memory_is_zero: self.memory_is_zero.unwrap_or(false),
            name: self.name,
        };
        Ok((region, buffer))
    }
}

/// A file's bytes, or the pages of a snapshot's block when it is said where they are.
fn file_memory(
    file: FileSource,
    name: &str,
    pages_offset: Option<i64>,
    bitmap_offset: Option<i64>,
    length: i64,
    page_size: u32,
) -> Result<MemorySpec> {
    let (Some(pages), Some(bitmap)) = (pages_offset, bitmap_offset) else {
        return Ok(MemorySpec::File(file));
    };
    let area = PageArea {
        name: name.to_owned(),
        pages_offset: offset("memoryPagesOffset", pages)?,
        bitmap_offset: offset("memoryBitmapOffset", bitmap)?,
        length: offset("length", length)?,
        page_size: u64::from(page_size),
    };
    Ok(MemorySpec::Snapshot(SnapshotBlock { file, area }))
}

pub(crate) fn engine_choice(name: Option<&str>) -> Result<EngineChoice> {
    match name {
        None | Some("auto") => Ok(EngineChoice::Auto),
        Some("io_uring") => Ok(EngineChoice::IoUring),
        Some("threads") => Ok(EngineChoice::Threads),
        Some(other) => Err(invalid("engine", "auto, io_uring or threads", other)),
    }
}

pub(crate) fn direct_io(name: Option<&str>) -> Result<DirectIo> {
    match name {
        None | Some("auto") => Ok(DirectIo::Auto),
        Some("on") => Ok(DirectIo::On),
        Some("off") => Ok(DirectIo::Off),
        Some(other) => Err(invalid("directIo", "auto, on or off", other)),
    }
}

pub(crate) fn file_source(what: &str, path: Option<String>, fd: Option<i32>) -> Result<FileSource> {
    match (path, fd) {
        (Some(path), None) => Ok(FileSource::Path(path.into())),
        (None, Some(fd)) => descriptor(what, fd),
        _ => Err(invalid(
            what,
            "exactly one of a path, a descriptor and a buffer",
            "none or several",
        )),
    }
}

#[cfg(unix)]
pub(crate) fn descriptor(_what: &str, fd: i32) -> Result<FileSource> {
    Ok(FileSource::Fd(fd))
}

#[cfg(not(unix))]
pub(crate) fn descriptor(what: &str, _fd: i32) -> Result<FileSource> {
    Err(EngineError::new(
        ErrorKind::Unsupported,
        format!("{what}: descriptors can be given on Unix only"),
    ))
}

pub(crate) fn offset(what: &str, value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| invalid(what, "0 or more", &value.to_string()))
}

pub(crate) fn count<T: TryInto<usize>>(value: T) -> Result<usize> {
    value
        .try_into()
        .map_err(|_| EngineError::new(ErrorKind::OutOfRange, "number too large for this machine"))
}

fn invalid(what: &str, expected: &str, found: &str) -> EngineError {
    EngineError::new(
        ErrorKind::InvalidArgument,
        format!("{what}: expected {expected}, found {found}"),
    )
}
