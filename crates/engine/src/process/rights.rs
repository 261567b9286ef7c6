//! The question whether this process may look into another one, asked by looking.

use super::pages::ScanMethod;
use super::{Pagemap, Piece, ProcessRights, read_process};
use crate::error::EngineError;

/// Asks whether this process may read the page map and the memory of another, at an address that is mapped there.
pub fn process_rights(pid: u32, address: u64) -> ProcessRights {
    let page = rustix::param::page_size();
    let address = address - address % page as u64;
    let pagemap = Pagemap::open(pid, ScanMethod::Pagemap).and_then(|pagemap| pagemap.entry(address));
    let mut bytes = vec![0; page];
    let piece = Piece {
        address,
        bytes: &mut bytes,
    };
    ProcessRights {
        pagemap: pagemap.err().map(|error| words(&error)),
        memory: read_process(pid, vec![piece]).err().map(|error| words(&error)),
    }
}

/// The error's words, with those of its cause.
fn words(error: &EngineError) -> String {
    match error.io_source() {
        Some(source) => format!("{error} ({source})"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{ProcessRights, process_rights};

    #[test]
    fn a_process_may_look_into_itself_and_into_none_that_is_not_there() {
        let bytes = [7_u8; 64];
        let allowed = ProcessRights {
            pagemap: None,
            memory: None,
        };
        assert_eq!(
            process_rights(std::process::id(), bytes.as_ptr().addr() as u64),
            allowed
        );
        let gone = process_rights(0x7fff_fff0, 4096);
        assert!(gone.pagemap.is_some_and(|words| words.contains("there is none")));
        assert!(gone.memory.is_some_and(|words| words.contains("no such process")));
    }
}
