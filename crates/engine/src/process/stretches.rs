//! Stretches of pages as a scan finds them: clipped to what was asked for, in whole units, adjacent ones joined.

use std::ops::Range;

#[derive(Debug)]
pub(super) struct Stretches {
    /// The addresses that were asked for.
    range: Range<u64>,
    /// The stretches found begin and end at multiples of this many bytes from the start of the range, or at its end.
    unit: u64,
    /// In bytes from the start of the range, ascending and apart.
    found: Vec<Range<u64>>,
}

impl Stretches {
    pub(super) fn new(range: Range<u64>, unit: u64) -> Self {
        Self {
            range,
            unit: unit.max(1),
            found: Vec::new(),
        }
    }

    /// Adds the stretch at these addresses. Stretches come in ascending order; one that comes again adds nothing.
    pub(super) fn add(&mut self, stretch: Range<u64>) {
        let length = self.range.end - self.range.start;
        let start = stretch.start.clamp(self.range.start, self.range.end) - self.range.start;
        let end = stretch.end.clamp(self.range.start, self.range.end) - self.range.start;
        if start >= end {
            return;
        }
        let start = start - start % self.unit;
        let end = end
            .checked_next_multiple_of(self.unit)
            .unwrap_or(length)
            .min(length);
        match self.found.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            _ => self.found.push(start..end),
        }
    }

    /// Takes those of a look at the same range behind these.
    pub(super) fn joined(mut self, behind: Self) -> Self {
        for stretch in behind.found {
            match self.found.last_mut() {
                Some(last) if stretch.start <= last.end => last.end = last.end.max(stretch.end),
                _ => self.found.push(stretch),
            }
        }
        self
    }

    pub(super) fn into_found(self) -> Vec<Range<u64>> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::Stretches;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stretches_cover_the_pages_that_were_added(
            pages in proptest::collection::vec(any::<bool>(), 0..200),
            (before, after) in (0_u64..20_000, 0_u64..20_000),
            unit in prop_oneof![Just(1_u64), Just(4096), Just(65536)],
            again in any::<bool>(),
        ) {
            const PAGE: u64 = 4096;
            let first = 10 * PAGE;
            let end = first + pages.len() as u64 * PAGE;
            let range = (first + before).min(end)..end.saturating_sub(after).max((first + before).min(end));
            let mut stretches = Stretches::new(range.clone(), unit);
            let all: Vec<u64> = (0..).zip(&pages).filter(|(_, wanted)| **wanted).map(|(page, _)| first + page * PAGE).collect();
            for address in &all {
                stretches.add(*address..*address + PAGE);
            }
            if again {
                for address in &all {
                    stretches.add(*address..*address + PAGE);
                }
            }
            let found = stretches.into_found();
            prop_assert!(found.windows(2).all(|pair| pair[0].end < pair[1].start), "apart: {found:?}");
            let length = range.end - range.start;
            let has = |byte: u64| found.iter().any(|stretch| stretch.contains(&byte));
            for byte in (0..length).step_by(512) {
                let unit_of = byte - byte % unit;
                let touched = range.start + unit_of..range.start + (unit_of + unit).min(length);
                let expected = all.iter().any(|address| *address < touched.end && address + PAGE > touched.start);
                prop_assert_eq!(has(byte), expected, "byte {}", byte);
            }
        }
    }
}
