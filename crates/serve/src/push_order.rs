//! The order in which pages are pushed.

use crate::block::Block;

/// The order in which pages are pushed: hot pages first, then from the page behind the last request on, round and round.
#[derive(Debug, Default)]
pub(crate) struct PushOrder {
    /// Where hot pages may be left.
    hot_block: usize,
    hot_host: u64,
    block: usize,
    host: u64,
}

impl PushOrder {
    /// Goes on behind a host page that QEMU asked for.
    pub(crate) fn jump(&mut self, block: usize, host: u64) {
        (self.block, self.host) = (block, host + 1);
    }

    /// Claims host pages of one block: target pages up to `most_pages`, but one host page at least.
    pub(crate) fn claim_next(&mut self, blocks: &mut [Block], most_pages: u64) -> Option<(usize, Vec<u64>)> {
        while let Some(block) = blocks.get_mut(self.hot_block) {
            let hosts = block.claim_next(self.hot_host, most_hosts(block, most_pages), true);
            if let Some(last) = hosts.last() {
                self.hot_host = last + 1;
                return Some((self.hot_block, hosts));
            }
            self.hot_block += 1;
            self.hot_host = 0;
        }
        // The block where it begins comes twice: behind the cursor first, before the cursor at last.
        for _ in 0..=blocks.len() {
            let block = blocks.get_mut(self.block)?;
            if block.left() > 0 {
                let hosts = block.claim_next(self.host, most_hosts(block, most_pages), false);
                if let Some(last) = hosts.last() {
                    self.host = last + 1;
                    return Some((self.block, hosts));
                }
            }
            self.block = (self.block + 1) % blocks.len();
            self.host = 0;
        }
        None
    }
}

fn most_hosts(block: &Block, most_pages: u64) -> u64 {
    (most_pages / block.per_host).max(1)
}
