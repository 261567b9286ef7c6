//! Bitmaps in files.

use std::io;

use mapped_ram_engine::error::Result;
use mapped_ram_engine::file::FileSource;
use mapped_ram_engine::{EngineError, ErrorKind};

use crate::buffered_file::BufferedFile;
use crate::page_set::PageSet;

/// What is read at a time, so that a file that ends early bounds what is allocated. A disk tells its size in no common way.
const PIECE: u64 = 1 << 20;

/// Reads the bitmap that a file has at an offset, by the rules of [`PageSet::from_bytes`].
/// # Errors
/// of the kind Truncated when the file ends before the bitmap does; when it cannot be read. Each names the file
pub fn read_bitmap(source: &FileSource, name: &str, offset: u64, pages: u64) -> Result<PageSet> {
    let file = BufferedFile::open(source, name.to_owned())?;
    let mut bytes = Vec::new();
    let mut left = pages.div_ceil(8);
    while left > 0 {
        let start = bytes.len();
        let piece = left.min(PIECE);
        bytes.resize(start + usize::try_from(piece).unwrap_or(usize::MAX), 0);
        let at = offset.saturating_add(start as u64);
        file.read_bytes(at, &mut bytes[start..])
            .map_err(|error| failed(error, pages).at(name, at))?;
        left -= piece;
    }
    PageSet::from_bytes(name, pages, &bytes)
}

fn failed(error: io::Error, pages: u64) -> EngineError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        let words = format!("the file ends inside the bitmap of {pages} pages");
        return EngineError::new(ErrorKind::Truncated, words);
    }
    EngineError::io("reading a bitmap", error)
}

#[cfg(test)]
mod tests {
    use mapped_ram_engine::ErrorKind;
    use mapped_ram_engine::file::FileSource;

    use super::{PIECE, read_bitmap};

    #[test]
    fn a_bitmap_is_read_from_its_place_and_the_file_bounds_it() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        std::fs::write(&path, [0xff, 0b101, 0, 0x80]).unwrap();
        let read = |offset, pages| {
            let source = FileSource::Path(path.to_path_buf());
            read_bitmap(&source, "a file", offset, pages)
        };
        let set = read(1, 24).unwrap();
        let pages: Vec<_> = (0..24).filter(|page| set.contains(*page)).collect();
        assert_eq!(pages, [0, 2, 23]);
        assert_eq!(read(4, 0).unwrap().count(), 0);
        for (offset, pages) in [(1, 25), (4, 1), (5, 8), (0, 8 * PIECE + 1), (0, u64::MAX)] {
            let error = read(offset, pages).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated, "{offset}, {pages}");
            assert!(error.to_string().contains("inside the bitmap"), "{error}");
        }
        assert_eq!(read(u64::MAX, 8).unwrap_err().kind(), ErrorKind::Io);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(0, 8).unwrap_err().kind(), ErrorKind::Io);
    }

    #[test]
    fn a_bitmap_of_several_pieces_is_whole() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let bytes: Vec<u8> = (0..3 * PIECE)
            .map(|index| (index % 251).to_le_bytes()[0])
            .collect();
        std::fs::write(&path, &bytes).unwrap();
        let source = FileSource::Path(path.to_path_buf());
        let set = read_bitmap(&source, "a file", 5, 8 * (2 * PIECE + 7)).unwrap();
        for index in 0..2 * PIECE + 7 {
            let byte = bytes[usize::try_from(5 + index).unwrap()];
            let found = (0..8)
                .filter(|bit| set.contains(index * 8 + bit))
                .map(|bit| 1 << bit)
                .sum();
            assert_eq!(byte, found, "byte {index}");
        }
    }
}
