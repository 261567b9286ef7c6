//! The options of a page server, made of what JavaScript gives.

use std::time::Duration;

use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::FileSource;
use mapped_ram_serve::{Control, PAGE_SIZE, PageSet, Push, ServeOptions, ServeReport, ServedBlock};

use crate::serve::{BindingPageServerOptions, BindingServedBlock, BindingServedFile};
use crate::values::{bytes, count, file_source, invalid};

/// Options that are complete, and the places of the pages.
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "nothing is served there")
)]
pub(crate) struct Ready {
    options: ServeOptions,
    files: Vec<(FileSource, String)>,
    layers: Vec<(u64, Vec<Place>)>,
    direct_io: bool,
}

/// The place of a layer, whose bitmap is yet to be read.
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "nothing is served there")
)]
struct Place {
    file: usize,
    pages_offset: u64,
    bitmap_offset: u64,
}

/// Takes the options over. Descriptors are duplicated, so that the caller may close its own.
pub(crate) fn ready(given: BindingPageServerOptions) -> Result<Ready> {
    let mut blocks = Vec::new();
    let mut layers = Vec::new();
    for block in given.blocks {
        let (block, own) = served_block(block)?;
        layers.push((block.pages(), own));
        blocks.push(block);
    }
    let files = given.files.into_iter().map(served_file);
    let max_bandwidth = given.max_bandwidth;
    Ok(Ready {
        options: ServeOptions {
            connection: file_source("connection", given.path, given.descriptor)?,
            preempt: given.preempt,
            connect_timeout: timeout(given.connect_ms)?,
            blocks,
            section_id: given.section_id,
            opening: given.opening.map(|bytes| bytes.to_vec()),
            push: push(&given.push)?,
            max_bandwidth: max_bandwidth
                .map(|limit| bytes("maxBandwidth", limit))
                .transpose()?,
            ends_by_itself: given.ends_by_itself,
        },
        files: files.collect::<Result<_>>()?,
        layers,
        direct_io: given.direct_io,
    })
}

/// Serves until QEMU has all, on this thread.
#[cfg(target_os = "linux")]
pub(crate) fn run(ready: Ready, control: &Control) -> Result<ServeReport> {
    use std::sync::Arc;

    use mapped_ram_serve::{DirectFiles, LayeredFiles, PageSource, serve};

    let mut layers = Vec::new();
    for (pages, places) in ready.layers {
        let read = places.iter().map(|place| layer(&ready.files, place, pages));
        layers.push((pages, read.collect::<Result<_>>()?));
    }
    let source: Arc<dyn PageSource> = if ready.direct_io {
        Arc::new(DirectFiles::open(ready.files, layers)?)
    } else {
        Arc::new(LayeredFiles::open(ready.files, layers)?)
    };
    serve(ready.options, source, control)
}

/// Reads the bitmap of a layer.
#[cfg(target_os = "linux")]
fn layer(files: &[(FileSource, String)], place: &Place, pages: u64) -> Result<mapped_ram_serve::Layer> {
    let wrong = || invalid("layer", "a file of the list", &place.file.to_string());
    let (source, name) = files.get(place.file).ok_or_else(wrong)?;
    Ok(mapped_ram_serve::Layer {
        file: place.file,
        pages_offset: place.pages_offset,
        pages: mapped_ram_serve::read_bitmap(source, name, place.bitmap_offset, pages)?,
    })
}

/// Says whether a file can be read past the page cache.
#[cfg(target_os = "linux")]
pub(crate) fn check_direct(file: BindingServedFile) -> Result<()> {
    let (source, name) = served_file(file)?;
    mapped_ram_serve::DirectFiles::check(source, name)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn check_direct(_file: BindingServedFile) -> Result<()> {
    Err(only_linux())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn run(_ready: Ready, _control: &Control) -> Result<ServeReport> {
    Err(only_linux())
}

#[cfg(not(target_os = "linux"))]
fn only_linux() -> mapped_ram_engine::EngineError {
    use mapped_ram_engine::{EngineError, ErrorKind};

    let words = "only Linux can restore lazily: other systems have no userfaultfd";
    EngineError::new(ErrorKind::Unsupported, words)
}

fn served_block(block: BindingServedBlock) -> Result<(ServedBlock, Vec<Place>)> {
    let what = format!("block {:?}", block.id);
    let length = bytes(&what, block.length)?;
    let pages = length / PAGE_SIZE;
    let mut layers = Vec::new();
    for layer in block.layers {
        layers.push(Place {
            file: count(layer.file)?,
            pages_offset: bytes("pagesOffset", layer.pages_offset)?,
            bitmap_offset: bytes("bitmapOffset", layer.bitmap_offset)?,
        });
    }
    let hot = block.hot.map(|bitmap| PageSet::from_bytes(&what, pages, &bitmap));
    let served = ServedBlock {
        id: block.id,
        length,
        host_page: bytes(&what, block.host_page)?,
        hot: hot.transpose()?,
    };
    Ok((served, layers))
}

fn served_file(file: BindingServedFile) -> Result<(FileSource, String)> {
    Ok((file_source("file", file.path, file.fd)?, file.name))
}

fn push(name: &str) -> Result<Push> {
    match name {
        "full" => Ok(Push::Full),
        "gentle" => Ok(Push::Gentle),
        "off" => Ok(Push::Off),
        _ => Err(invalid("push", "full, gentle or off", name)),
    }
}

fn timeout(milliseconds: f64) -> Result<Duration> {
    let seconds = milliseconds / 1000.0;
    let wrong = |_| invalid("connectMs", "0 or more", &milliseconds.to_string());
    Duration::try_from_secs_f64(seconds).map_err(wrong)
}
