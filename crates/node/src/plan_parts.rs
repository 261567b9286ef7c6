//! The parts that the plans of transfers and comparisons have in common, as JavaScript hands them over. Defaults live
//! in TypeScript or in the engine, not here.

use std::sync::Arc;

use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::{FileSource, PageArea, SnapshotSource, SnapshotSpec};
use mapped_ram_engine::memory::{ByteMemory, MemorySpec, ProcessBlock, SnapshotBlock};
use mapped_ram_engine::{DirectIo, IoEngine, Tuning};
use napi::bindgen_prelude::{Reference, Uint8Array};
use napi_derive::napi;

use crate::process::{BindingProcessCopy, process_pages};
use crate::values::{bytes, count, duplicate, file_source, invalid, offset};

/// The place of a block in a snapshot, in bytes.
#[napi(object, object_to_js = false)]
pub struct BindingPageArea {
    pub pages_offset: i64,
    pub bitmap_offset: i64,
    pub length: i64,
    pub page_size: i64,
}

/// A snapshot: exactly one of `path` and `fd`.
#[napi(object, object_to_js = false)]
pub struct BindingSnapshot {
    pub path: Option<String>,
    pub fd: Option<i32>,
    /// A descriptor of the same file that was opened with O_DIRECT.
    pub direct_fd: Option<i32>,
    /// Errors call the snapshot by this name.
    pub name: String,
}

/// The place of memory: exactly one of `path`, `fd`, `buffer`, `bufferLength`, `process` and `copy`.
#[napi(object, object_to_js = false)]
pub struct BindingMemory {
    pub path: Option<String>,
    pub fd: Option<i32>,
    /// The engine gets a copy of the bytes, made when the plan is taken.
    pub buffer: Option<Uint8Array>,
    /// A load into a buffer of this many bytes, which come back with the outcome.
    pub buffer_length: Option<i64>,
    /// The offset at which the block starts in the memory, in bytes.
    pub offset: i64,
    /// The place of a block in another snapshot, when the path or descriptor is one and this block is the memory.
    /// `offset` counts from the block's first page. Such memory can only be read.
    pub area: Option<BindingPageArea>,
    /// A save of another process's memory.
    pub process: Option<BindingProcessBlock>,
    /// A save of a copy of a process's memory.
    #[napi(ts_type = "BindingProcessCopy")]
    pub copy: Option<Reference<BindingProcessCopy>>,
    /// The number of the block in the copy.
    pub copied_block: Option<u32>,
}

/// A block of memory in a process.
#[napi(object, object_to_js = false)]
pub struct BindingProcessBlock {
    pub pid: u32,
    pub address: f64,
    /// The pages that a save reads; it takes the others for zeros.
    #[napi(ts_type = "'present' | 'data' | 'changed' | 'all'")]
    pub pages: String,
}

/// The options that transfers and comparisons have in common.
#[napi(object, object_to_js = false)]
pub struct BindingEngineOptions {
    pub channels: Option<u32>,
    pub queue_depth: Option<u32>,
    pub request_size: Option<u32>,
    #[napi(ts_type = "'auto' | 'io_uring' | 'threads'")]
    pub io_engine: Option<String>,
    #[napi(ts_type = "'auto' | 'on' | 'off'")]
    pub direct_io: Option<String>,
}

impl BindingPageArea {
    pub(crate) fn into_area(self) -> Result<PageArea> {
        Ok(PageArea {
            pages_offset: offset("pagesOffset", self.pages_offset)?,
            bitmap_offset: offset("bitmapOffset", self.bitmap_offset)?,
            length: offset("length", self.length)?,
            page_size: offset("pageSize", self.page_size)?,
        })
    }
}

impl BindingSnapshot {
    pub(crate) fn into_spec(self) -> Result<SnapshotSpec> {
        Ok(SnapshotSpec {
            source: SnapshotSource::File(file_source("snapshot", self.path, self.fd)?),
            direct: self.direct_fd.map(|fd| duplicate("directFd", fd)).transpose()?,
            name: self.name,
        })
    }
}

/// The memory as the engine takes it.
pub(crate) struct TakenMemory {
    pub(crate) spec: MemorySpec,
    pub(crate) offset: u64,
    /// The buffer that a load fills.
    pub(crate) buffer: Option<Arc<ByteMemory>>,
}

impl BindingMemory {
    /// Turns into the memory of the block `name`.
    pub(crate) fn into_memory(self, name: &str) -> Result<TakenMemory> {
        let bytes = match (self.buffer, self.buffer_length) {
            // JavaScript may change its buffer while another thread reads it, so the engine gets a copy.
            (Some(buffer), _) => Some(buffer.to_vec()),
            (None, Some(length)) => Some(vec![0; count(offset("bufferLength", length)?)?]),
            (None, None) => None,
        };
        let buffer = bytes.map(|bytes| Arc::new(ByteMemory::new(bytes)));
        let spec = match (&buffer, self.process, self.copy) {
            (Some(bytes), ..) => MemorySpec::Bytes(Arc::clone(bytes)),
            (None, Some(process), _) => process.into_spec()?,
            (None, None, Some(copy)) => {
                let block = self.copied_block.map_or(Ok(0), count)?;
                MemorySpec::Copy(copy.get()?, block)
            }
            (None, None, None) => file_memory(name, file_source(name, self.path, self.fd)?, self.area)?,
        };
        Ok(TakenMemory {
            spec,
            offset: offset("memory.offset", self.offset)?,
            buffer,
        })
    }
}

impl BindingProcessBlock {
    fn into_spec(self) -> Result<MemorySpec> {
        Ok(MemorySpec::Process(ProcessBlock {
            pid: self.pid,
            address: bytes("address", self.address)?,
            pages: process_pages(&self.pages)?,
        }))
    }
}

/// Takes a file's bytes, or the pages of a snapshot's block when the caller says where these are.
fn file_memory(name: &str, file: FileSource, area: Option<BindingPageArea>) -> Result<MemorySpec> {
    Ok(match area {
        None => MemorySpec::File(file),
        Some(area) => MemorySpec::Snapshot(SnapshotBlock {
            file,
            name: name.to_owned(),
            area: area.into_area()?,
        }),
    })
}

impl BindingEngineOptions {
    pub(crate) fn into_tuning(self) -> Result<Tuning> {
        let tuning = Tuning::default();
        Ok(Tuning {
            channels: self.channels.map(count).transpose()?,
            queue_depth: self.queue_depth.map_or(Ok(tuning.queue_depth), count)?,
            request_size: self.request_size.map_or(Ok(tuning.request_size), count)?,
            io_engine: io_engine(self.io_engine.as_deref())?,
            direct_io: direct_io(self.direct_io.as_deref())?,
            ..tuning
        })
    }
}

fn io_engine(name: Option<&str>) -> Result<IoEngine> {
    match name {
        None | Some("auto") => Ok(IoEngine::Auto),
        Some("io_uring") => Ok(IoEngine::IoUring),
        Some("threads") => Ok(IoEngine::Threads),
        Some(other) => Err(invalid("ioEngine", "auto, io_uring or threads", other)),
    }
}

fn direct_io(name: Option<&str>) -> Result<DirectIo> {
    match name {
        None | Some("auto") => Ok(DirectIo::Auto),
        Some("on") => Ok(DirectIo::On),
        Some("off") => Ok(DirectIo::Off),
        Some(other) => Err(invalid("directIo", "auto, on or off", other)),
    }
}
