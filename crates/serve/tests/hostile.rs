//! A peer that sends anything at all: an error, no panic, no hang.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod common;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use common::destination::Destination;
use common::{From, Running, Shape, options, pair, source};
use mapped_ram_engine::error::Result;
use mapped_ram_engine::{EngineError, ErrorKind};
use mapped_ram_serve::ServeReport;
use proptest::prelude::*;
use tempfile::TempDir;

fn shapes() -> Vec<Shape> {
    let shape = |host_page, pages| Shape {
        host_page,
        pages,
        hot: None,
    };
    vec![
        shape(4096, vec![1, 0, 2, 3, 1, 1]),
        shape(65536, [0, 1, 1, 1].repeat(12)),
    ]
}

/// Serves a peer that sends `bytes` and then no more.
fn serve_peer(takes_over: bool, bytes: &[u8]) -> Result<ServeReport> {
    let shapes = shapes();
    let folder = TempDir::new().unwrap();
    let (mut theirs, connection) = pair();
    let mut options = options(&shapes, connection);
    if takes_over {
        options.opening = None;
    }
    let running = Running::start(options, source(&shapes, From::Memory, &folder));
    let sink = drain(&theirs);
    // The server may have had enough before all is written.
    let _ = theirs.write_all(bytes);
    let _ = theirs.shutdown(Shutdown::Write);
    let control = std::sync::Arc::clone(&running.control);
    let result = running.result();
    assert_eq!(common::wait(control.loaded()), control.progress().loaded);
    assert!(common::wait(control.unreadable()).is_none());
    sink.join().unwrap();
    result
}

fn drain(stream: &UnixStream) -> std::thread::JoinHandle<()> {
    let mut stream = stream.try_clone().unwrap();
    std::thread::spawn(move || while stream.read(&mut [0; 65536]).is_ok_and(|count| count > 0) {})
}

fn assert_refused(result: Result<ServeReport>) {
    // A peer may say rightly that it has all, once the server has sent the end.
    if let Err(error) = result {
        assert!(
            matches!(error.kind(), ErrorKind::Closed | ErrorKind::Corrupt),
            "{error}"
        );
    }
}

fn error_of(takes_over: bool, bytes: &[u8]) -> EngineError {
    serve_peer(takes_over, bytes).unwrap_err()
}

/// Messages that have sense, nearly, and sometimes none.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let message = (
        0..9_u16,
        prop::option::weighted(0.1, any::<u16>()),
        any::<[u64; 2]>(),
        0..4_u8,
    )
        .prop_map(|(kind, length, [start, size], name)| {
            let names: [&[u8]; 4] = [b"m", b"/rom@etc/acpi/tables", b"nobody", b""];
            let mut data = Vec::new();
            if matches!(kind, 3 | 4) {
                data.extend((start % 16 * 4096).to_be_bytes());
                data.extend(u32::try_from(size % 5 * 4096).unwrap().to_be_bytes());
            }
            if matches!(kind, 3 | 5) {
                let name = names[usize::from(name)];
                data.push(u8::try_from(name.len()).unwrap());
                data.extend(name);
            }
            if matches!(kind, 1 | 2 | 6) {
                data.extend(u32::from(name).to_be_bytes());
            }
            let length = length.unwrap_or_else(|| u16::try_from(data.len()).unwrap());
            let mut bytes = kind.to_be_bytes().to_vec();
            bytes.extend(length.to_be_bytes());
            bytes.extend(data);
            if kind == 5 {
                bytes.extend((size % 24).to_be_bytes());
                bytes.extend([0xff; 8]);
                bytes.extend(0x0123_4567_89ab_cdef_u64.to_be_bytes());
            }
            bytes
        });
    prop::collection::vec(message, 0..12).prop_map(|messages| messages.concat())
}

const PONG_3: [u8; 8] = [0, 2, 0, 4, 0, 0, 0, 3];
const SHUT_0: [u8; 8] = [0, 1, 0, 4, 0, 0, 0, 0];
const ASK_M: [u8; 18] = [0, 3, 0, 14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 1, b'm'];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_end_the_server(
        takes_over: bool,
        valid in prop::bool::weighted(0.5),
        nearly in messages(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut sent = if valid { [&PONG_3[..], &ASK_M].concat() } else { Vec::new() };
        if takes_over && valid {
            let destination = Destination::new(&shapes());
            sent.extend([0, 5, 0, 2, 1, b'm']);
            sent.extend(destination.bitmap(0, &shapes()[0]));
        }
        sent.extend(nearly);
        sent.extend(bytes);
        assert_refused(serve_peer(takes_over, &sent));
    }
}

#[test]
fn each_wrong_message_is_told_apart() {
    let with = |at: usize, byte: u8| {
        let mut message = ASK_M;
        message[at] = byte;
        [&PONG_3[..], &message].concat()
    };
    let cases: [(Vec<u8>, &str); 10] = [
        (with(17, b'n'), "expected the name of a block, found \"n\""),
        (with(16, 2), "expected the name of a block"),
        (
            with(11, 1),
            "expected a request of whole pages of 4096 bytes within the 24576",
        ),
        (with(10, 0x60), "found 4096 bytes at 0x6000"),
        (with(4, 0xff), "found 4096 bytes at 0xff00000000000000"),
        (with(14, 0), "found 0 bytes at 0x0"),
        (with(1, 9), "expected a message of type 1 to 7, found type 9"),
        (with(3, 200), ""),
        (
            vec![0, 4, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0],
            "expected a request that names its block",
        ),
        (
            vec![0, 6, 0, 4, 0, 0, 0, 1],
            "expected no RESUME_ACK, found RESUME_ACK 1",
        ),
    ];
    for (bytes, words) in cases {
        let error = error_of(false, &bytes);
        assert!(error.message().contains(words), "{error}");
        let expected = if words.is_empty() {
            ErrorKind::Closed
        } else {
            ErrorKind::Corrupt
        };
        assert_eq!(error.kind(), expected, "{error}");
    }
}

#[test]
fn the_ends_of_a_connection_are_told_apart() {
    let error = error_of(false, &[]);
    assert!(
        error
            .message()
            .starts_with("QEMU closed the connection before PONG 3"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Closed);
    let error = error_of(false, &PONG_3);
    assert!(
        error
            .message()
            .starts_with("QEMU closed the connection after PONG 3"),
        "{error}"
    );
    let error = error_of(true, &[]);
    assert!(
        error
            .message()
            .starts_with("QEMU closed the connection before RESUME_ACK"),
        "{error}"
    );
    let error = error_of(false, &SHUT_0);
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let error = error_of(false, &[0, 1, 0, 4, 0, 0, 0, 7]);
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert!(error.message().contains("SHUT 7"), "{error}");
}

#[test]
fn a_bitmap_has_the_size_of_its_block() {
    let announced = |name: u8, size: u64| {
        let mut bytes = vec![0, 5, 0, 2, 1, name];
        bytes.extend(size.to_be_bytes());
        bytes
    };
    let error = error_of(true, &announced(b'm', u64::MAX));
    assert!(
        error
            .message()
            .contains("expected a bitmap of 8 bytes for block \"m\""),
        "{error}"
    );
    let error = error_of(true, &announced(b'x', 8));
    assert!(
        error.message().contains("expected the name of a block"),
        "{error}"
    );
    let mut unmarked = announced(b'm', 8);
    unmarked.extend([0; 16]);
    let error = error_of(true, &unmarked);
    assert!(
        error
            .message()
            .contains("expected the end mark of a bitmap, found 0x0"),
        "{error}"
    );
    let other: Vec<u8> = [&[0, 5, 0, 21, 20][..], b"/rom@etc/acpi/tables"].concat();
    let error = error_of(true, &other);
    assert!(
        error.message().contains("expected the bitmap of block \"m\""),
        "{error}"
    );
}

#[test]
fn a_flood_of_requests_is_answered() {
    let mut bytes = PONG_3.to_vec();
    for _ in 0..20_000 {
        bytes.extend(ASK_M);
    }
    let error = error_of(false, &bytes);
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}
