//! Files that get their name when they are complete: what others see before, and what stays of a file that never gets
//! complete.

#![cfg(target_os = "linux")]

mod common;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use mapped_ram_engine::file::{FileSource, Lock, Locked, Replace, StagedFile, lock, remove_abandoned};
use mapped_ram_engine::{CancelToken, EngineError, ErrorKind};

const OLD: &[u8] = b"what was there before";

fn write(staged: &StagedFile, bytes: &[u8]) {
    let mut file = staged.file();
    file.write_all(bytes).expect("the partial file takes it");
}

fn commit(staged: StagedFile) -> Result<(), EngineError> {
    staged.sync()?;
    staged.publish()
}

fn mode(metadata: &fs::Metadata) -> u32 {
    metadata.permissions().mode() & 0o777
}

fn assert_error(error: &EngineError, kind: ErrorKind, target: &Path, errno: Option<rustix::io::Errno>) {
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(
        error.path(),
        Some(target.display().to_string().as_str()),
        "{error}"
    );
    assert_eq!(
        error.io_source().and_then(std::io::Error::raw_os_error),
        errno.map(rustix::io::Errno::raw_os_error),
        "{error}"
    );
}

#[test]
fn the_name_appears_when_published() {
    for replace in [Replace::Never, Replace::Allowed] {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("snapshot");
        let staged = StagedFile::create(&target, 0, replace).unwrap();
        write(&staged, b"new");
        let partial = staged.partial().to_path_buf();
        assert_eq!(partial.parent(), Some(directory.path()));
        assert_eq!(common::names(directory.path()).len(), 1);
        assert!(!target.exists());
        commit(staged).unwrap();
        assert_eq!(common::names(directory.path()), ["snapshot"]);
        assert_eq!(fs::read(&target).unwrap(), b"new");
        // QEMU makes it so too: guest memory is nobody else's business.
        assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn dropped_without_publish_it_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("snapshot");
    let staged = StagedFile::create(&target, 0, Replace::Never).unwrap();
    write(&staged, b"new");
    drop(staged);
    assert!(common::names(directory.path()).is_empty());

    fs::write(&target, OLD).unwrap();
    let staged = StagedFile::create(&target, 4, Replace::Allowed).unwrap();
    write(&staged, b"new");
    drop(staged);
    assert_eq!(common::names(directory.path()), ["snapshot"]);
    assert_eq!(fs::read(&target).unwrap(), OLD);
}

/// The partial file of a panic goes like any other.
#[test]
fn a_panic_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("snapshot");
    let result = std::panic::catch_unwind(|| {
        let _staged = StagedFile::create(&target, 0, Replace::Never).unwrap();
        std::panic::resume_unwind(Box::new("no report"));
    });
    assert!(result.is_err());
    assert!(common::names(directory.path()).is_empty());
}

#[test]
fn the_first_bytes_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("snapshot");
    let length = OLD.len() as u64;
    for keep in [0, 1, length - 1, length, length + 1, u64::MAX] {
        fs::write(&target, OLD).unwrap();
        let staged = StagedFile::create(&target, keep, Replace::Allowed).unwrap();
        let kept = common::size(keep.min(length));
        assert_eq!(common::contents(staged.file()), &OLD[..kept], "keep {keep}");
        commit(staged).unwrap();
        assert_eq!(fs::read(&target).unwrap(), &OLD[..kept], "keep {keep}");
    }
    fs::remove_file(&target).unwrap();
    let staged = StagedFile::create(&target, 1000, Replace::Never).unwrap();
    assert!(
        common::contents(staged.file()).is_empty(),
        "there is nothing to keep"
    );
}

#[test]
fn a_replaced_file_keeps_its_mode_and_its_readers() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("snapshot");
    fs::write(&target, OLD).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    let mut reader = File::open(&target).unwrap();
    let staged = StagedFile::create(&target, 0, Replace::Allowed).unwrap();
    write(&staged, b"new");
    assert_eq!(fs::read(&target).unwrap(), OLD, "not before it is published");
    commit(staged).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"new");
    assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    let mut seen = Vec::new();
    reader.read_to_end(&mut seen).unwrap();
    assert_eq!(seen, OLD, "whoever has the old file open goes on reading it");
}

#[test]
fn an_existing_file_is_not_replaced_unless_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("snapshot");
    fs::write(&target, OLD).unwrap();
    let error = StagedFile::create(&target, 0, Replace::Never).unwrap_err();
    assert_error(&error, ErrorKind::Exists, &target, None);
    assert_eq!(common::names(directory.path()), ["snapshot"]);
    assert_eq!(fs::read(&target).unwrap(), OLD);
}

#[test]
fn a_file_that_appears_meanwhile_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("snapshot");
    let staged = StagedFile::create(&target, 0, Replace::Never).unwrap();
    write(&staged, b"new");
    fs::write(&target, OLD).unwrap();
    let error = commit(staged).unwrap_err();
    assert_error(&error, ErrorKind::Exists, &target, None);
    assert_eq!(common::names(directory.path()), ["snapshot"]);
    assert_eq!(fs::read(&target).unwrap(), OLD);
}

#[test]
fn a_directory_that_appears_meanwhile_is_not_replaced() {
    for (replace, kind, errno) in [
        (Replace::Never, ErrorKind::Exists, None),
        (Replace::Allowed, ErrorKind::Io, Some(rustix::io::Errno::ISDIR)),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("snapshot");
        let staged = StagedFile::create(&target, 0, replace).unwrap();
        fs::create_dir(&target).unwrap();
        let error = commit(staged).unwrap_err();
        assert_error(&error, kind, &target, errno);
        assert_eq!(common::names(directory.path()), ["snapshot"]);
    }
}

#[test]
fn two_at_once_do_not_share_a_partial_file() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("snapshot");
    let first = StagedFile::create(&target, 0, Replace::Never).unwrap();
    let second = StagedFile::create(&target, 0, Replace::Never).unwrap();
    assert_ne!(first.partial(), second.partial());
    write(&first, b"first");
    write(&second, b"second");
    commit(first).unwrap();
    assert_eq!(commit(second).unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(fs::read(&target).unwrap(), b"first");
    assert_eq!(common::names(directory.path()), ["snapshot"]);
}

/// Leaves what a killed maker leaves: the file, and no lock on it.
fn abandon(target: &Path) -> std::path::PathBuf {
    let staged = StagedFile::create(target, 0, Replace::Never).expect("a partial file");
    let partial = staged.partial().to_path_buf();
    drop(staged);
    fs::write(&partial, OLD).expect("the directory takes it");
    partial
}

#[test]
fn what_a_killed_maker_left_goes_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let alive = StagedFile::create(&at("alive"), 0, Replace::Never).unwrap();
    abandon(&at("one"));
    abandon(&at("two"));
    fs::write(at(".mine.1f-0.partial"), OLD).unwrap();
    // These names have the mark and are no files.
    fs::create_dir(at(".directory.1-1.mapped-ram-partial")).unwrap();
    symlink(at(".mine.1f-0.partial"), at(".link.1-1.mapped-ram-partial")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at(".fifo.1-1.mapped-ram-partial"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    remove_abandoned(&at("three"));
    let left = common::names(directory.path());
    let alive_name = alive.partial().file_name().unwrap().to_str().unwrap();
    let mut expected = vec![
        alive_name,
        ".directory.1-1.mapped-ram-partial",
        ".fifo.1-1.mapped-ram-partial",
        ".link.1-1.mapped-ram-partial",
        ".mine.1f-0.partial",
    ];
    expected.sort_unstable();
    assert_eq!(left, expected);
    commit(alive).unwrap();
    assert!(at("alive").exists());
}

#[test]
fn it_is_looked_for_beside_the_real_file_and_a_missing_directory_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let link = directory.path().join("link");
    symlink(elsewhere.path().join("real"), &link).unwrap();
    abandon(&elsewhere.path().join("real"));
    remove_abandoned(&link);
    assert!(common::names(elsewhere.path()).is_empty());
    remove_abandoned(&directory.path().join("missing/snapshot"));
    remove_abandoned(Path::new(""));
}

#[test]
fn a_finished_file_is_locked_against_nobody() {
    use std::os::fd::AsRawFd;
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("snapshot");
    let staged = StagedFile::create(&target, 0, Replace::Never).unwrap();
    let other = File::open(staged.partial()).unwrap();
    let wanted = |wanted| lock(&FileSource::Fd(other.as_raw_fd()), wanted).unwrap();
    assert_eq!(wanted(Lock::Exclusive), Locked::Busy);
    assert_eq!(wanted(Lock::Shared), Locked::Yes, "as by one who maps it");
    commit(staged).unwrap();
    assert_eq!(wanted(Lock::Exclusive), Locked::Yes);
}

/// Makers and removers at once: no living maker loses its file.
#[test]
fn a_file_is_never_taken_from_a_living_maker() {
    let directory = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..2)
            .map(|maker| {
                let directory = directory.path();
                scope.spawn(move || {
                    for round in 0..200 {
                        let target = directory.join(format!("{maker}-{round}"));
                        let staged = StagedFile::create(&target, 0, Replace::Never).unwrap();
                        write(&staged, b"new");
                        staged.publish().unwrap();
                    }
                })
            })
            .collect();
        while !makers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            remove_abandoned(&directory.path().join("x"));
        }
    });
    assert_eq!(common::names(directory.path()).len(), 400);
}

#[test]
fn a_symbolic_link_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let link = directory.path().join("link");
    let real = elsewhere.path().join("real");
    fs::write(&real, OLD).unwrap();
    symlink(&real, &link).unwrap();

    let error = StagedFile::create(&link, 0, Replace::Never).unwrap_err();
    assert_error(&error, ErrorKind::Exists, &link, None);

    let staged = StagedFile::create(&link, 4, Replace::Allowed).unwrap();
    assert_eq!(
        common::names(elsewhere.path()).len(),
        2,
        "partial beside the real file"
    );
    assert_eq!(common::names(directory.path()), ["link"]);
    commit(staged).unwrap();
    assert!(
        link.symlink_metadata().unwrap().is_symlink(),
        "the link stays a link"
    );
    assert_eq!(fs::read(&real).unwrap(), &OLD[..4]);
    assert_eq!(common::names(elsewhere.path()), ["real"]);
}

/// A link to nowhere is a name that is taken.
#[test]
fn a_dangling_symbolic_link_is_refused_unless_replacing_is_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("link");
    symlink(directory.path().join("missing"), &link).unwrap();
    let error = StagedFile::create(&link, 0, Replace::Never).unwrap_err();
    assert_error(&error, ErrorKind::Exists, &link, None);
    assert_eq!(common::names(directory.path()), ["link"]);

    let staged = StagedFile::create(&link, 0, Replace::Allowed).unwrap();
    write(&staged, b"new");
    commit(staged).unwrap();
    assert_eq!(fs::read(directory.path().join("missing")).unwrap(), b"new");
    assert!(
        link.symlink_metadata().unwrap().is_symlink(),
        "the link stays a link"
    );
    assert_eq!(common::names(directory.path()), ["link", "missing"]);
}

#[test]
fn a_chain_of_links_is_followed_to_a_free_name_or_a_missing_directory() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let first = directory.path().join("first");
    symlink("inner/second", &first).unwrap();
    symlink("real", inner.join("second")).unwrap();
    commit(StagedFile::create(&first, 0, Replace::Allowed).unwrap()).unwrap();
    assert_eq!(common::names(&inner), ["real", "second"]);

    let astray = directory.path().join("astray");
    symlink("nowhere/file", &astray).unwrap();
    let error = StagedFile::create(&astray, 0, Replace::Allowed).unwrap_err();
    assert_error(&error, ErrorKind::Io, &astray, Some(rustix::io::Errno::NOENT));
    let nowhere = directory.path().join("nowhere");
    assert!(
        error
            .message()
            .ends_with(&format!("there is no directory {}", nowhere.display())),
        "{error}"
    );
}

#[test]
fn until_it_is_published_only_its_maker_may_open_it() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("snapshot");
    fs::write(&target, OLD).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o444)).unwrap();
    let staged = StagedFile::create(&target, 4, Replace::Allowed).unwrap();
    assert_eq!(mode(&staged.file().metadata().unwrap()), 0o600);
    commit(staged).unwrap();
    assert_eq!(mode(&target.metadata().unwrap()), 0o444);
}

#[test]
fn a_replaced_file_keeps_its_owner() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("snapshot");
    fs::write(&target, OLD).unwrap();
    if let Err(error) = std::os::unix::fs::chown(&target, Some(65534), Some(65533)) {
        common::skipped("keeping the owner", &error.to_string());
        return;
    }
    fs::set_permissions(&target, fs::Permissions::from_mode(0o660)).unwrap();
    commit(StagedFile::create(&target, 0, Replace::Allowed).unwrap()).unwrap();
    let found = target.metadata().unwrap();
    assert_eq!((found.uid(), found.gid(), mode(&found)), (65534, 65533, 0o660));
}

#[test]
fn holes_of_the_kept_part_stay_holes() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("snapshot");
    let original = File::create_new(&target).unwrap();
    for at in [3 << 20, 9 << 20] {
        original.write_all_at(&[7; 4096], at).unwrap();
    }
    original.set_len(12 << 20).unwrap();
    for keep in [2 << 20, 4 << 20, (9 << 20) + 100, 11 << 20, 20 << 20] {
        let staged = StagedFile::create(&target, keep, Replace::Allowed).unwrap();
        let length = keep.min(12 << 20);
        let mut expected = fs::read(&target).unwrap();
        expected.truncate(common::size(length));
        common::assert_same("kept", &common::contents(staged.file()), &expected);
        let units = common::data_units(&File::open(&target).unwrap(), 0..length);
        assert_eq!(common::data_units(staged.file(), 0..length), units, "keep {keep}");
    }
}

#[test]
fn a_cancelled_copy_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("snapshot");
    fs::write(&target, OLD).unwrap();
    let cancel = CancelToken::default();
    cancel.cancel();
    let error = StagedFile::create_cancellable(&target, 4, Replace::Allowed, &cancel).unwrap_err();
    assert_error(&error, ErrorKind::Cancelled, &target, None);
    assert_eq!(common::names(directory.path()), ["snapshot"]);
    assert_eq!(fs::read(&target).unwrap(), OLD);
}

#[test]
fn what_is_no_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let fifo = directory.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    for replace in [Replace::Never, Replace::Allowed] {
        for (path, found) in [
            (inner.as_path(), "a directory"),
            (Path::new("/"), "a directory"),
            (Path::new(".."), "a directory"),
            (fifo.as_path(), "a fifo"),
            (Path::new("/dev/null"), "a character device"),
        ] {
            let error = StagedFile::create(path, 0, replace).unwrap_err();
            assert_error(&error, ErrorKind::Unsupported, path, None);
            let text = error.to_string();
            assert!(text.contains("expected a regular file or a free name"), "{text}");
            assert!(text.contains(&format!("found {found}")), "{text}");
        }
    }
    assert_eq!(common::names(directory.path()), ["fifo", "inner"]);
    assert!(fifo.symlink_metadata().unwrap().file_type().is_fifo());
}

#[test]
fn a_missing_or_impossible_parent_is_an_error() {
    use rustix::io::Errno;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, OLD).unwrap();
    let looped = directory.path().join("looped");
    symlink("looped", &looped).unwrap();
    for (target, errno) in [
        (directory.path().join("missing/snapshot"), Errno::NOENT),
        (file.join("snapshot"), Errno::NOTDIR),
        (looped.join("snapshot"), Errno::LOOP),
        (directory.path().join("n".repeat(256)), Errno::NAMETOOLONG),
    ] {
        for replace in [Replace::Never, Replace::Allowed] {
            let error = StagedFile::create(&target, 0, replace).unwrap_err();
            assert_error(&error, ErrorKind::Io, &target, Some(errno));
        }
    }
    let error = StagedFile::create(Path::new(""), 0, Replace::Never).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert_eq!(common::names(directory.path()), ["file", "looped"]);
}

#[test]
fn any_name_that_the_filesystem_takes_will_do() {
    let directory = tempfile::tempdir().unwrap();
    let longest = "n".repeat(255);
    let long = "\u{1f9ed}".repeat(63);
    let names: [&OsStr; 5] = [
        OsStr::new(&longest),
        OsStr::new(&long),
        OsStr::from_bytes(b"\xff\xfe not UTF-8"),
        OsStr::new(".hidden"),
        OsStr::new("with\nnewline"),
    ];
    for name in names {
        let target = directory.path().join(name);
        let staged = StagedFile::create(&target, 0, Replace::Never).unwrap();
        write(&staged, b"new");
        commit(staged).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new", "{}", name.display());
    }
    assert_eq!(common::names(directory.path()).len(), names.len());
}

/// No other test of this file depends on the working directory.
#[test]
fn a_name_without_a_directory_is_beside_the_process() {
    let directory = tempfile::tempdir().unwrap();
    std::env::set_current_dir(directory.path()).unwrap();
    let staged = StagedFile::create(Path::new("snapshot"), 0, Replace::Never).unwrap();
    write(&staged, b"new");
    commit(staged).unwrap();
    assert_eq!(common::names(directory.path()), ["snapshot"]);
    std::env::set_current_dir(std::env::temp_dir()).unwrap();
}

#[test]
fn a_large_kept_part_is_a_copy_and_the_original_stays() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("snapshot");
    let mut bytes = vec![0; 3 << 20];
    common::Noise::new(3).fill(&mut bytes);
    fs::write(&target, &bytes).unwrap();
    let staged = StagedFile::create(&target, 2 << 20, Replace::Allowed).unwrap();
    let inode = target.metadata().unwrap().ino();
    common::assert_same("kept", &common::contents(staged.file()), &bytes[..2 << 20]);
    drop(staged);
    assert_eq!(target.metadata().unwrap().ino(), inode);
    common::assert_same("original", &fs::read(&target).unwrap(), &bytes);
}

/// Runs a command that only root may run, and says on stderr when it cannot be tried.
fn could(command: &str, arguments: &[&str]) -> bool {
    let done = std::process::Command::new(command).args(arguments).output();
    let done = done.is_ok_and(|output| output.status.success());
    if !done {
        let _ = writeln!(std::io::stderr(), "*** NOT TRIED: {command} {arguments:?} ***");
    }
    done
}

#[test]
fn a_file_that_cannot_be_replaced_is_refused_before_the_partial_file_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("snapshot");
    fs::write(&target, "old").unwrap();
    let path = target.to_str().unwrap();
    let folder = directory.path().to_str().unwrap();
    for (set, unset) in [
        (["mount", "--bind", path, path], ["umount", path]),
        (["chattr", "-f", "+i", path], ["chattr", "-i"]),
        (["chattr", "-f", "+a", path], ["chattr", "-a"]),
        (["chattr", "-f", "+a", folder], ["chattr", "-a"]),
    ] {
        if !could(set[0], &set[1..]) {
            continue;
        }
        let refused = StagedFile::create(&target, 0, Replace::Allowed);
        let subject = set[3];
        let undone = if unset[0] == "umount" {
            could("umount", &[subject])
        } else {
            could("chattr", &[unset[1], subject])
        };
        assert!(undone);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Io, "{set:?}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "{set:?}");
    }
    drop(StagedFile::create(&target, 0, Replace::Allowed).unwrap());
    assert_eq!(fs::read_to_string(&target).unwrap(), "old");
}
