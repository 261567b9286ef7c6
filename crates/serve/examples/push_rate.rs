//! Measures how fast pages go through a socket to somebody who only counts bytes, and how fast requests are answered
//! meanwhile: `cargo run --release -p mapped-ram-serve --example push_rate [MiB] [full|gentle|off] [preempt|one]
//! [host page] [warm|cold|direct] [folder]`. `cold` and `direct` read a file that the page cache has nothing of.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program to be run by hand"
)]
#![expect(clippy::panic, reason = "a program to be run by hand")]

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::sync::Arc;
    use std::thread;
    use std::time::{Duration, Instant};

    use mapped_ram_engine::file::FileSource;
    use mapped_ram_engine::file::drop_page_cache;
    use mapped_ram_serve::{
        Control, DirectFiles, Layer, LayeredFiles, PageSet, PageSource, Push, ServeOptions, ServedBlock,
        serve,
    };

    pub(super) fn main() {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let mib: u64 = arguments.first().map_or(1024, |word| word.parse().unwrap());
        let push = match arguments.get(1).map_or("full", String::as_str) {
            "full" => Push::Full,
            "gentle" => Push::Gentle,
            "off" => Push::Off,
            word => panic!("{word}: full, gentle or off"),
        };
        let preempt = arguments.get(2).is_some_and(|word| word == "preempt");
        let host_page: u64 = arguments.get(3).map_or(4096, |word| word.parse().unwrap());
        let requests: u64 = if push == Push::Off { 20_000 } else { 0 };

        let way = arguments.get(4).map_or("warm", String::as_str);
        let folder = match arguments.get(5) {
            Some(folder) => tempfile::tempdir_in(folder).unwrap(),
            None => tempfile::tempdir().unwrap(),
        };
        let file = folder.path().join("pages");
        let length = mib << 20;
        let mut writer = std::fs::File::create(&file).unwrap();
        for index in 0..mib {
            let byte = u8::try_from(index % 255).unwrap() + 1;
            writer.write_all(&vec![byte; 1 << 20]).unwrap();
        }
        let pages = length / 4096;
        let bits = vec![0xff; usize::try_from(pages.div_ceil(8)).unwrap()];
        let layer = Layer {
            file: 0,
            pages_offset: 0,
            pages: PageSet::from_bytes("bits", pages, &bits).unwrap(),
        };
        writer.sync_all().unwrap();
        let file = FileSource::Path(file);
        if way != "warm" {
            drop_page_cache(&file).unwrap();
        }
        let files = [(file, "pages".to_owned())];
        let blocks = vec![(pages, vec![layer])];
        let source: Arc<dyn PageSource> = match way {
            "warm" | "cold" => Arc::new(LayeredFiles::open(files, blocks).unwrap()),
            "direct" => Arc::new(DirectFiles::open(files, blocks).unwrap()),
            word => panic!("{word}: warm, cold or direct"),
        };

        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let options = ServeOptions {
            connection: FileSource::Path(path),
            preempt,
            connect_timeout: Duration::from_secs(1),
            blocks: vec![ServedBlock {
                id: "m".to_owned(),
                length,
                host_page,
                hot: None,
            }],
            section_id: 1,
            opening: Some(Vec::new()),
            push,
            max_bandwidth: None,
            ends_by_itself: true,
        };
        let control = Arc::new(Control::default());
        let theirs = Arc::clone(&control);
        let server = thread::spawn(move || serve(options, source, &theirs));
        let (mut main, _) = listener.accept().unwrap();
        let urgent = preempt.then(|| listener.accept().unwrap().0);
        main.write_all(&[0, 2, 0, 4, 0, 0, 0, 3]).unwrap();
        let began = Instant::now();
        if requests > 0 {
            ask(&mut main, urgent, requests, pages, host_page);
            control.stop();
            println!("{requests} answers in {:?}", began.elapsed());
            let _ = server.join().unwrap();
            return;
        }
        let asking = main.try_clone().unwrap();
        let sink =
            urgent.map(|urgent| thread::spawn(move || ask_meanwhile(asking, urgent, pages, host_page)));
        let mut back = main.try_clone().unwrap();
        let reader = thread::spawn(move || drain(&mut main));
        while !control.progress().ended {
            thread::sleep(Duration::from_millis(1));
        }
        let seconds = began.elapsed().as_secs_f64();
        back.write_all(&[0, 1, 0, 4, 0, 0, 0, 0]).unwrap();
        let report = server.join().unwrap().unwrap();
        reader.join().unwrap();
        if let Some(sink) = sink {
            sink.join().unwrap();
        }
        println!(
            "{:.0} MB/s; {report:?}",
            report.pushed_bytes as f64 / 1e6 / seconds
        );
    }

    fn drain(stream: &mut UnixStream) {
        let mut buffer = vec![0; 1 << 20];
        while stream.read(&mut buffer).unwrap() > 0 {}
    }

    /// Asks for pages one by one, from the end backwards, while all others are pushed from the start on. Ends when a page
    /// does not come, because it was pushed.
    fn ask_meanwhile(mut main: UnixStream, mut urgent: UnixStream, pages: u64, host_page: u64) {
        urgent.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let records = usize::try_from(host_page / 4096).unwrap() * 4104;
        let mut times = Vec::new();
        for number in 0..pages * 4096 / host_page {
            let began = Instant::now();
            main.write_all(&request(pages * 4096 - (number + 1) * host_page, host_page))
                .unwrap();
            let name = if number == 0 { 2 } else { 0 };
            if urgent.read_exact(&mut vec![0; records + name]).is_err() {
                break;
            }
            times.push(began.elapsed());
            thread::sleep(Duration::from_micros(100));
        }
        report(times);
    }

    /// Asks for pages one by one, in scattered order, and waits for each.
    fn ask(main: &mut UnixStream, urgent: Option<UnixStream>, requests: u64, pages: u64, host_page: u64) {
        let hosts = pages * 4096 / host_page;
        let own = urgent.is_some();
        let mut from = urgent.unwrap_or_else(|| main.try_clone().unwrap());
        let mut times = Vec::new();
        for number in 0..requests.min(hosts) {
            let start = (number * 7919 % hosts) * host_page;
            let began = Instant::now();
            main.write_all(&request(start, host_page)).unwrap();
            let records = usize::try_from(host_page / 4096).unwrap() * 4104;
            let name = if number == 0 { 2 } else { 0 };
            let length = records + name + if own { 0 } else { 18 };
            from.read_exact(&mut vec![0; length]).unwrap();
            times.push(began.elapsed());
        }
        report(times);
    }

    fn request(start: u64, length: u64) -> Vec<u8> {
        let mut message = vec![0, 3, 0, 14];
        message.extend(start.to_be_bytes());
        message.extend(u32::try_from(length).unwrap().to_be_bytes());
        message.extend([1, b'm']);
        message
    }

    fn report(mut times: Vec<Duration>) {
        times.sort();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        let count = times.len();
        println!(
            "{count} round trips: p50 {:?}, p99 {:?}, max {:?}",
            at(50),
            at(99),
            at(100)
        );
    }
}
