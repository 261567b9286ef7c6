//! A look through a large range of addresses by several threads, each of which takes the next part.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::stretches::Stretches;
use crate::error::{EngineError, ErrorKind, Result};

/// Bytes of a part: a thread's start costs a hundredth of a millisecond, and what exists of 256 MiB up to two.
pub(super) const PART: u64 = 256 << 20;
/// More threads than these find nothing to do: memory itself is the limit.
const MOST_THREADS: usize = 8;

/// Does `look` for all parts of a range, and joins what was found, in order.
/// # Errors
/// one that `look` met
pub(super) fn in_parts<F>(range: &Range<u64>, look: F) -> Result<Stretches>
where
    F: Fn(&Range<u64>) -> Result<Stretches> + Sync,
{
    let parts = range.end.saturating_sub(range.start).div_ceil(PART);
    if parts <= 1 {
        return look(range);
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = cores
        .min(MOST_THREADS)
        .min(usize::try_from(parts).unwrap_or(MOST_THREADS));
    let next = AtomicU64::new(0);
    let work = || -> Result<Vec<(u64, Stretches)>> {
        let mut found = Vec::new();
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= parts {
                return Ok(found);
            }
            let start = range.start + part * PART;
            found.push((part, look(&(start..range.end.min(start.saturating_add(PART))))?));
        }
    };
    let mut found = thread::scope(|scope| {
        let started: Vec<_> = (1..threads)
            // Where no thread can be had, this one does all of it.
            .filter_map(|_| {
                let thread = thread::Builder::new().name("mapped-ram-look".to_owned());
                thread.spawn_scoped(scope, work).ok()
            })
            .collect();
        let mut found = work();
        for thread in started {
            let panicked = |_| {
                let message = "a thread that looks at the page map panicked";
                Err(EngineError::new(ErrorKind::Internal, message))
            };
            let ended = thread.join().unwrap_or_else(panicked);
            found = found.and_then(|mut found| {
                found.extend(ended?);
                Ok(found)
            });
        }
        found
    })?;
    found.sort_by_key(|(part, _)| *part);
    let mut found = found.into_iter().map(|(_, stretches)| stretches);
    let first = found
        .next()
        .ok_or_else(|| EngineError::new(ErrorKind::Internal, "a look at nothing"))?;
    Ok(found.fold(first, Stretches::joined))
}

#[cfg(test)]
mod tests {
    use super::{PART, in_parts};
    use crate::error::{EngineError, ErrorKind};
    use crate::process::stretches::Stretches;

    #[test]
    fn what_is_found_comes_in_order_and_joins_across_parts() {
        let range = 4096..4096 + 9 * PART + 8192;
        let found = in_parts(&range, |part| {
            let mut found = Stretches::new(range.clone(), 4096);
            // Every part but the fourth is found from its second page to its end.
            if part.start != range.start + 3 * PART {
                found.add(part.start + 4096..part.end);
            }
            Ok(found)
        })
        .unwrap();
        let expected: Vec<_> = (0..10)
            .filter(|part| *part != 3)
            .map(|part| part * PART + 4096..(9 * PART + 8192).min((part + 1) * PART))
            .collect();
        assert_eq!(found.into_found(), expected);

        let all = in_parts(&range, |part| {
            let mut found = Stretches::new(range.clone(), 4096);
            found.add(part.clone());
            Ok(found)
        });
        assert_eq!(
            all.unwrap().into_found(),
            std::slice::from_ref(&(0..9 * PART + 8192))
        );
    }

    #[test]
    fn an_empty_range_is_looked_at_once_and_an_error_of_any_part_comes_back() {
        let nothing = in_parts(&(5..5), |part| Ok(Stretches::new(part.clone(), 1))).unwrap();
        assert!(nothing.into_found().is_empty());
        let error = in_parts(&(0..7 * PART), |part| {
            if part.start == 5 * PART {
                return Err(EngineError::new(ErrorKind::Truncated, "nothing is there"));
            }
            Ok(Stretches::new(0..7 * PART, 1))
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
    }
}
