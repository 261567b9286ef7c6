//! Tests of batches: their bytes, read record by record, are the pages that went in.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeMap;
use std::time::Instant;

use proptest::prelude::*;

use crate::batch::Batch;
use crate::records::{PAGE_BYTES, PAGE_SIZE, part_head, part_tail};

const SECTION: u32 = 0x0102_0304;
const NAME: &[u8] = b"\x05block";

fn content(pattern: &[bool], page: u64) -> bool {
    pattern[usize::try_from(page).unwrap() % pattern.len()]
}

fn word(page: u64) -> [u8; 8] {
    (page + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()
}

fn fill(batch: &mut Batch) -> u64 {
    let mut filled = 0;
    for run in batch.runs() {
        for (page, slot) in (run.first..).zip(run.slots()) {
            assert_eq!(slot.len(), PAGE_BYTES);
            slot.as_chunks_mut::<8>().0.fill(word(page));
            filled += 1;
        }
    }
    filled
}

/// Reads records, of which the first names the block if `named`: pages by their numbers, and whether they have content.
fn decode(mut bytes: &[u8], named: bool) -> Vec<(u64, bool)> {
    let mut pages = Vec::new();
    let mut first = true;
    while !bytes.is_empty() {
        let (head, behind) = bytes.split_first_chunk().unwrap();
        let head = u64::from_be_bytes(*head);
        bytes = behind;
        let again = head & 0x20 != 0;
        assert_eq!(again, !(first && named), "CONTINUE");
        if !again {
            bytes = bytes.strip_prefix(NAME).unwrap();
        }
        first = false;
        let page = head / PAGE_SIZE;
        let whole = head & 0x08 != 0;
        let length = if whole { PAGE_BYTES } else { 1 };
        let (body, behind) = bytes.split_at(length);
        bytes = behind;
        let expected = if whole { word(page).to_vec() } else { vec![0] };
        assert!(
            body.chunks(8).all(|chunk| chunk == &expected[..chunk.len()]),
            "page {page}"
        );
        pages.push((page, whole));
    }
    pages
}

fn expected(hosts: &[u64], per_host: u64, pattern: &[bool]) -> Vec<(u64, bool)> {
    let pages = hosts
        .iter()
        .flat_map(|host| host * per_host..(host + 1) * per_host);
    pages.map(|page| (page, content(pattern, page))).collect()
}

proptest! {
    #[test]
    fn bytes_are_pages_also_after_some_were_taken_out(
        hosts in prop::collection::btree_set(0..40_u64, 1..12),
        per_host in prop_oneof![Just(1_u64), Just(4)],
        pattern in prop::collection::vec(prop::bool::weighted(0.7), 1..30),
        taken in prop::collection::vec(0..40_u64, 0..6),
        named: bool,
        spare in prop::option::of(0..300_000_usize),
    ) {
        let mut left: Vec<u64> = hosts.into_iter().collect();
        let spare = spare.map(|length| vec![0xaa; length]);
        let mut batch = Batch::new(3, per_host, left.clone(), |page| content(&pattern, page), spare).unwrap();
        batch.asked = Some(Instant::now());
        let filled = fill(&mut batch);
        prop_assert_eq!(filled, batch.content_pages());
        let mut sum = BTreeMap::new();
        for host in taken {
            let Some(own) = batch.take(host) else {
                prop_assert!(!left.contains(&host));
                continue;
            };
            let mut own = own.unwrap();
            prop_assert!(own.asked.is_none());
            left.retain(|other| *other != host);
            let range = own.sealed(Some(NAME), None);
            prop_assert_eq!(decode(&own.bytes()[range], true), expected(&[host], per_host, &pattern));
            sum.insert(host, own.content_pages());
        }
        prop_assert_eq!(batch.hosts(), left.as_slice());
        prop_assert_eq!(batch.content_pages() + sum.values().sum::<u64>(), filled);
        if left.is_empty() {
            prop_assert!(batch.is_empty());
            return Ok(());
        }
        let range = batch.sealed(named.then_some(NAME), Some(SECTION));
        let bytes = &batch.bytes()[range];
        let bytes = bytes.strip_prefix(&part_head(SECTION)[..]).unwrap();
        let bytes = bytes.strip_suffix(&part_tail(SECTION)[..]).unwrap();
        prop_assert_eq!(decode(bytes, named), expected(&left, per_host, &pattern));
    }
}

#[test]
fn sections_have_the_bytes_of_the_documentation() {
    assert_eq!(part_head(SECTION), [2, 1, 2, 3, 4]);
    assert_eq!(part_tail(SECTION), [0, 0, 0, 0, 0, 0, 0, 0x10, 0x7e, 1, 2, 3, 4]);
    let end = crate::records::end_of_ram(1);
    assert_eq!(
        end,
        [3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x7e, 0, 0, 0, 1, 0]
    );
    assert_eq!(crate::records::recv_bitmap(b"\x01m"), [8, 0, 10, 0, 2, 1, b'm']);
    assert_eq!(crate::records::resume(), [8, 0, 9, 0, 0]);
}
