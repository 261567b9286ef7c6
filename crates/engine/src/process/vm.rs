//! Reads of another process's memory by process_vm_readv, many pieces in one call.

use std::io::IoSliceMut;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::{Piece, name_of};
use crate::error::{EngineError, ErrorKind, Result};

/// The pieces of one call. The kernel takes up to 1024; more than these make nothing faster.
const PIECES: usize = 512;

/// Reads pieces of the memory of process `pid`, which is not changed by that.
/// # Errors
/// Truncated for the first address at which nothing is mapped or may be read, Io when there is no such process or this
/// one may not look
pub(crate) fn read_process(pid: u32, pieces: Vec<Piece<'_>>) -> Result<()> {
    let name = || name_of(pid);
    let process = i32::try_from(pid).map(Pid::from_raw).map_err(|_| {
        EngineError::new(
            ErrorKind::InvalidArgument,
            format!("expected a process id, found {pid}"),
        )
        .on(name())
    })?;
    let mut rest = pieces
        .into_iter()
        .filter(|piece| !piece.bytes.is_empty())
        .peekable();
    while rest.peek().is_some() {
        let (mut there, mut here) = (Vec::with_capacity(PIECES), Vec::with_capacity(PIECES));
        for Piece { address, bytes } in rest.by_ref().take(PIECES) {
            let base = usize::try_from(address)
                .map_err(|_| EngineError::new(ErrorKind::OutOfRange, "address too large for this machine"))?;
            there.push(RemoteIoVec {
                base,
                len: bytes.len(),
            });
            here.push(IoSliceMut::new(bytes));
        }
        read_batch(process, &mut there, &mut here)
            .map_err(|(error, at)| failed(pid, error, &at).at(name(), at.base as u64))?;
    }
    Ok(())
}

/// Reads one call's pieces, whatever number of calls it takes. An error comes with the place that could not be read.
fn read_batch(
    process: Pid,
    there: &mut [RemoteIoVec],
    here: &mut [IoSliceMut<'_>],
) -> std::result::Result<(), (Errno, RemoteIoVec)> {
    let (mut there, mut here) = (there, here);
    while let Some(first) = there.first() {
        match process_vm_readv(process, here, there) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err((error, *first)),
            Ok(0) => return Err((Errno::EFAULT, *first)),
            // A call that meets a bad address, or is asked for more than 2 GiB, gives the bytes before that.
            Ok(count) => {
                IoSliceMut::advance_slices(&mut here, count);
                advance(&mut there, count);
            }
        }
    }
    Ok(())
}

/// Cuts the first `count` bytes off.
fn advance(pieces: &mut &mut [RemoteIoVec], count: usize) {
    let mut left = count;
    while let Some(first) = pieces.first_mut() {
        if left < first.len {
            first.base += left;
            first.len -= left;
            return;
        }
        left -= first.len;
        *pieces = std::mem::take(pieces).get_mut(1..).unwrap_or_default();
    }
}

fn failed(pid: u32, error: Errno, place: &RemoteIoVec) -> EngineError {
    let (length, address) = (place.len, place.base);
    let asked = format!("reading the memory of process {pid}: expected {length} bytes at {address:#x}");
    match error {
        Errno::EFAULT => EngineError::new(
            ErrorKind::Truncated,
            format!("{asked}, found nothing readable there"),
        )
        .caused_by(error.into()),
        Errno::EPERM => {
            let needs = "which takes CAP_SYS_PTRACE, or the same user with no fewer rights";
            EngineError::io(format!("{asked}, {needs}"), error.into())
        }
        Errno::ESRCH => EngineError::io(format!("{asked}, found no such process"), error.into()),
        _ => EngineError::io(asked, error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Piece;
    use super::{PIECES, read_process};
    use crate::error::ErrorKind;

    #[test]
    fn many_pieces_arrive_in_their_places() {
        let source: Vec<u8> = (0..3 * PIECES * 7)
            .map(|index| u8::try_from(index % 251).unwrap())
            .collect();
        let address = source.as_ptr().addr() as u64;
        let mut found = vec![0; source.len()];
        // Every third piece is empty, and the pieces are in reverse order there.
        let mut pieces = Vec::new();
        for (index, bytes) in found.chunks_mut(7).enumerate() {
            let count = source.len() / 7;
            pieces.push(Piece {
                address: address + ((count - 1 - index) * 7) as u64,
                bytes,
            });
            if index % 3 == 0 {
                pieces.push(Piece {
                    address: 0,
                    bytes: &mut [],
                });
            }
        }
        read_process(std::process::id(), pieces).unwrap();
        let expected: Vec<u8> = source.chunks(7).rev().flatten().copied().collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_address_that_cannot_be_read_is_named() {
        let source = memmap2::MmapMut::map_anon(4096).unwrap();
        let address = source.as_ptr().addr() as u64;
        let (mut first, mut second) = ([0; 16], [0; 32]);
        let pieces = vec![
            Piece {
                address,
                bytes: &mut first,
            },
            Piece {
                address: 64,
                bytes: &mut second,
            },
        ];
        let error = read_process(std::process::id(), pieces).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Truncated, Some(64)));
        assert!(error.message().contains("expected 32 bytes at 0x40"), "{error}");
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let mut bytes = [0; 16];
        // No process has the largest number: the kernel's own limit is 4 Mi.
        let gone = 0x7fff_fff0;
        let pieces = vec![Piece {
            address: 4096,
            bytes: &mut bytes,
        }];
        let error = read_process(gone, pieces).unwrap_err();
        assert!(error.message().contains("found no such process"), "{error}");
        assert_eq!(error.path(), Some("/proc/2147483632/mem"));
    }
}
