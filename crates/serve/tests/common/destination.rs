//! A naive QEMU that is restored: it reads the stream, places pages, and asks for some.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::decoder::{Decoder, Placed, Record, bytes};
use super::{Memory, SECTION, Shape};

/// The way a main connection came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The server sent the end of the stream.
    Stream,
    /// The connection was cut, here or there.
    Cut,
}

#[derive(Debug, Default)]
pub struct State {
    pub memory: Memory,
    pub asked: BTreeSet<(usize, u64)>,
    /// Nothing may be pushed before.
    pub loaded: bool,
    /// Host pages that came on the main connection.
    pub on_main: usize,
}

/// The destination, of which the parts that read are threads.
#[derive(Debug, Clone)]
pub struct Destination {
    pub shapes: Arc<Vec<Shape>>,
    state: Arc<Mutex<State>>,
}

impl Destination {
    pub fn new(shapes: &[Shape]) -> Self {
        Self {
            shapes: Arc::new(shapes.to_vec()),
            state: Arc::default(),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no other thread panicked")
    }

    /// Reads the main connection, up to `limit` bytes behind the opening.
    pub fn read_main(&self, stream: &UnixStream, opening: usize, limit: Option<u64>) -> JoinHandle<End> {
        let (this, stream) = (self.clone(), stream.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut stream = io::BufReader::new(stream);
            io::copy(&mut (&mut stream).take(opening as u64), &mut io::sink()).unwrap();
            let mut limited = stream.take(limit.unwrap_or(u64::MAX));
            match this.sections(&mut limited) {
                Ok(()) => End::Stream,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => End::Cut,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => End::Cut,
                Err(error) => unreachable!("{error}"),
            }
        })
    }

    /// Reads the second connection until it ends.
    pub fn read_urgent(&self, stream: &UnixStream) -> JoinHandle<()> {
        let (this, stream) = (self.clone(), stream.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut stream = io::BufReader::new(stream);
            let mut decoder = Decoder::default();
            while let Ok(record) = decoder.read(&this.shapes, &mut stream) {
                match record {
                    Record::Page(page) => this.place(page, true),
                    Record::Part => {}
                    Record::End => unreachable!("no section ends on the second connection"),
                }
            }
        })
    }

    fn sections(&self, stream: &mut impl Read) -> io::Result<()> {
        let mut decoder = Decoder::default();
        loop {
            let [kind] = bytes(stream)?;
            assert!(kind == 2 || kind == 3, "a section of type {kind}");
            assert_eq!(bytes(stream)?, SECTION.to_be_bytes());
            loop {
                match decoder.read(&self.shapes, stream)? {
                    Record::Page(page) => self.place(page, false),
                    Record::Part => {}
                    Record::End => break,
                }
                assert_eq!(kind, 2, "pages in the last section");
            }
            assert_eq!(bytes(stream)?, [0x7e]);
            assert_eq!(bytes(stream)?, SECTION.to_be_bytes());
            if kind == 3 {
                assert_eq!(bytes(stream)?, [0], "the end of the stream");
                return self.check_end();
            }
        }
    }

    fn place(&self, page: Placed, urgent: bool) {
        let mut state = self.state();
        let key = (page.block, page.host);
        let asked = state.asked.contains(&key);
        assert!(asked || !urgent, "{key:?} was pushed on the second connection");
        assert!(asked || state.loaded, "{key:?} was pushed before PONG 3");
        assert!(
            asked || page.bytes.iter().any(|byte| *byte != 0),
            "{key:?} is zero, and nobody asked for it"
        );
        state.on_main += usize::from(!urgent);
        assert!(
            state.memory.insert(key, page.bytes).is_none(),
            "{key:?} came twice"
        );
    }

    fn check_end(&self) -> io::Result<()> {
        // Nothing with content may be missing, whether it was asked for or not. What the second connection carries may
        // still be in its socket.
        let began = Instant::now();
        while let Some(key) = self.missing().first() {
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "the end came without {key:?}"
            );
            std::thread::sleep(Duration::from_micros(100));
        }
        assert!(self.state().loaded, "the end came before PONG 3");
        Ok(())
    }

    /// The host pages with content that are not here.
    pub fn missing(&self) -> Vec<(usize, u64)> {
        let state = self.state();
        let all = self.shapes.iter().enumerate().flat_map(|(block, shape)| {
            (0..shape.hosts())
                .filter(|host| shape.has_content(*host))
                .map(move |host| (block, host))
        });
        all.filter(|key| !state.memory.contains_key(key)).collect()
    }

    /// The host pages that were asked for and are not here.
    pub fn open_requests(&self) -> Vec<(usize, u64)> {
        let state = self.state();
        state
            .asked
            .iter()
            .filter(|key| !state.memory.contains_key(key))
            .copied()
            .collect()
    }

    /// Waits until all that was asked for is here.
    pub fn wait_for_answers(&self) {
        let began = Instant::now();
        while let Some(key) = self.open_requests().first() {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{key:?} is not answered"
            );
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Asks for host pages, as many as the block has behind the first.
    pub fn ask(
        &self,
        main: &mut impl Write,
        named: &mut Option<usize>,
        block: usize,
        host: u64,
        count: u64,
    ) -> io::Result<()> {
        let shape = &self.shapes[block];
        let end = (host + count).min(shape.hosts());
        self.state().asked.extend((host..end).map(|host| (block, host)));
        let name = if *named == Some(block) {
            String::new()
        } else {
            Shape::id(block)
        };
        *named = Some(block);
        let mut message = if name.is_empty() {
            vec![0, 4, 0, 12]
        } else {
            vec![0, 3, 0, u8::try_from(13 + name.len()).unwrap()]
        };
        message.extend((host * shape.host_page).to_be_bytes());
        message.extend(
            u32::try_from((end - host) * shape.host_page)
                .unwrap()
                .to_be_bytes(),
        );
        if !name.is_empty() {
            message.push(u8::try_from(name.len()).unwrap());
            message.extend(name.bytes());
        }
        main.write_all(&message)
    }

    pub fn pong(&self, main: &mut impl Write, number: u32) -> io::Result<()> {
        if number == 3 {
            self.state().loaded = true;
        }
        main.write_all(&[0, 2, 0, 4])?;
        main.write_all(&number.to_be_bytes())
    }

    pub fn shut(&self, main: &mut impl Write, number: u32) -> io::Result<()> {
        main.write_all(&[0, 1, 0, 4])?;
        main.write_all(&number.to_be_bytes())
    }

    /// Tells a server that takes over which pages are here, and goes on.
    pub fn be_taken_over(&self, main: &mut UnixStream) -> io::Result<()> {
        for (index, shape) in self.shapes.iter().enumerate() {
            let id = Shape::id(index);
            let length = u8::try_from(id.len()).unwrap();
            let mut expected = vec![8, 0, 10, 0, length + 1, length];
            expected.extend(id.bytes());
            let mut found = vec![0; expected.len()];
            main.read_exact(&mut found)?;
            assert_eq!(found, expected, "RECV_BITMAP");
            let mut message = vec![0, 5, 0, length + 1, length];
            message.extend(id.bytes());
            message.extend(self.bitmap(index, shape));
            main.write_all(&message)?;
        }
        assert_eq!(bytes(main)?, [8, 0, 9, 0, 0], "RESUME");
        main.write_all(&[0, 6, 0, 4, 0, 0, 0, 1])
    }

    /// The bitmap of a block with its size before and its mark behind it.
    pub fn bitmap(&self, block: usize, shape: &Shape) -> Vec<u8> {
        let size = shape.pages.len().div_ceil(64) * 8;
        let mut bits = vec![0_u8; size];
        for page in 0..shape.pages.len() {
            let host = page as u64 / shape.per_host();
            // Of host pages that are not here, one bit says that a part is: QEMU drops that part.
            let in_part = shape.per_host() > 1 && page as u64 % shape.per_host() == host % 3;
            if in_part || self.state().memory.contains_key(&(block, host)) {
                bits[page / 8] |= 1 << (page % 8);
            }
        }
        let mut message = (size as u64).to_be_bytes().to_vec();
        message.extend(bits);
        message.extend(0x0123_4567_89ab_cdef_u64.to_be_bytes());
        message
    }
}
