//! A histogram of times.

use std::time::Duration;

/// Each power of two has this many buckets, so that a bucket's bounds differ by 3 %.
const PER_OCTAVE_BITS: u32 = 5;
const PER_OCTAVE: u64 = 1 << PER_OCTAVE_BITS;
const BUCKETS: usize = (64 - PER_OCTAVE_BITS as usize + 1) << PER_OCTAVE_BITS;

/// A histogram of times. Its size does not depend on how many there are.
#[derive(Debug)]
pub(crate) struct Latency {
    counts: Vec<u64>,
    total: u64,
    most: Duration,
}

/// Times in microseconds; all are 0 when there were none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quantiles {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
            most: Duration::ZERO,
        }
    }
}

impl Latency {
    pub(crate) fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.most = self.most.max(time);
    }

    pub(crate) fn quantiles(&self) -> Quantiles {
        Quantiles {
            p50: self.quantile(50),
            p99: self.quantile(99),
            max: micros(self.most),
        }
    }

    fn quantile(&self, percent: u64) -> f64 {
        let rank = (self.total * percent).div_ceil(100);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank && seen > 0
        });
        found.map_or(0.0, |index| {
            micros(Duration::from_nanos(lower_bound(index)).min(self.most))
        })
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn bucket(nanos: u64) -> usize {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(PER_OCTAVE_BITS + 1);
    let index = u64::from(shift) * PER_OCTAVE + (nanos >> shift);
    usize::try_from(index).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

fn lower_bound(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index / PER_OCTAVE).saturating_sub(1);
    (index - shift * PER_OCTAVE) << shift
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Latency, Quantiles, bucket, lower_bound};

    proptest! {
        #[test]
        fn a_time_lies_in_its_bucket(nanos: u64) {
            let index = bucket(nanos);
            prop_assert!(lower_bound(index) <= nanos);
            prop_assert!(nanos - lower_bound(index) <= nanos / 32);
        }
    }

    #[test]
    fn quantiles_are_those_of_the_times() {
        assert_eq!(Latency::default().quantiles(), Quantiles::default());
        let mut latency = Latency::default();
        for micros in 1..=1000 {
            latency.add(Duration::from_micros(micros));
        }
        let found = latency.quantiles();
        assert!((485.0..=500.0).contains(&found.p50), "{found:?}");
        assert!((960.0..=990.0).contains(&found.p99), "{found:?}");
        assert!((found.max - 1000.0).abs() < 1e-6, "{found:?}");
    }
}
