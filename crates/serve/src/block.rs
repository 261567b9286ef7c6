//! A block while it is served: which of its host pages still have to be sent.

use mapped_ram_engine::error::Result;

use crate::options::ServedBlock;
use crate::page_set::PageSet;
use crate::records::PAGE_SIZE;

/// A block while it is served. All sets are of host pages.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) id: String,
    /// The name behind its length, as records have it.
    pub(crate) name: Vec<u8>,
    /// Target pages in a host page.
    pub(crate) per_host: u64,
    /// Sent, or under way: QEMU must not get a page a second time.
    claimed: PageSet,
    /// Pages with content that nobody has claimed, and that can be read as far as anybody knows.
    waiting: PageSet,
    /// Those of them to be pushed first.
    hot: PageSet,
    /// Pages of a batch that could not be read: at least one of them is broken, so each gets a batch of its own.
    suspect: PageSet,
    /// The number of pages in `waiting`.
    left: u64,
}

impl Block {
    pub(crate) fn new(served: &ServedBlock, content: &PageSet) -> Result<Self> {
        let per_host = served.host_page / PAGE_SIZE;
        let hosts = served.pages() / per_host;
        let waiting = in_host_pages(content, per_host, hosts)?;
        let mut hot = match &served.hot {
            Some(hot) => in_host_pages(hot, per_host, hosts)?,
            None => PageSet::new(hosts)?,
        };
        hot.keep_all(&waiting);
        // Options with longer names are refused.
        let mut name = vec![u8::try_from(served.id.len()).unwrap_or(u8::MAX)];
        name.extend(served.id.bytes());
        Ok(Self {
            id: served.id.clone(),
            name,
            per_host,
            claimed: PageSet::new(hosts)?,
            left: waiting.count(),
            waiting,
            hot,
            suspect: PageSet::new(hosts)?,
        })
    }

    /// The number of target pages.
    pub(crate) fn pages(&self) -> u64 {
        self.claimed.pages() * self.per_host
    }

    /// The number of host pages.
    pub(crate) fn hosts(&self) -> u64 {
        self.claimed.pages()
    }

    /// Takes the sole right to send a host page. False when it is taken.
    pub(crate) fn claim(&mut self, host: u64) -> bool {
        let free = self.claimed.insert(host);
        if free && self.waiting.remove(host) {
            self.left -= 1;
            self.hot.remove(host);
        }
        free
    }

    /// Claims all host pages that QEMU has whole, which nobody has claimed yet, and counts their target pages with
    /// content.
    pub(crate) fn claim_placed(&mut self, placed: &PageSet, content: &PageSet) -> Result<u64> {
        let hosts = self.hosts();
        let mut whole = PageSet::new(hosts)?;
        let mut pages = 0;
        if self.per_host == 1 {
            whole.add_all(placed);
            pages = placed.count_common(content);
        } else {
            for host in 0..hosts {
                let range = host * self.per_host..(host + 1) * self.per_host;
                if range.clone().all(|page| placed.contains(page)) {
                    whole.insert(host);
                    pages += range.filter(|page| content.contains(*page)).count() as u64;
                }
            }
        }
        self.claimed.add_all(&whole);
        self.waiting.remove_all(&whole);
        self.hot.remove_all(&whole);
        self.left = self.waiting.count();
        Ok(pages)
    }

    /// Gives the right back, because the page could not be read along with others.
    pub(crate) fn release(&mut self, host: u64) {
        self.claimed.remove(host);
        self.suspect.insert(host);
        if self.waiting.insert(host) {
            self.left += 1;
        }
    }

    /// Gives the right back, because the page itself cannot be read. It is not pushed any more.
    pub(crate) fn give_up(&mut self, host: u64) {
        self.claimed.remove(host);
    }

    /// The number of host pages that could be pushed.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Claims host pages to be pushed: up to `most`, from host page `from` on, hot ones alone if that is asked for.
    pub(crate) fn claim_next(&mut self, from: u64, most: u64, hot: bool) -> Vec<u64> {
        let mut hosts = Vec::new();
        let mut at = from;
        while (hosts.len() as u64) < most {
            let set = if hot { &self.hot } else { &self.waiting };
            let Some(host) = set.next(at) else { break };
            let suspect = self.suspect.contains(host);
            if suspect && !hosts.is_empty() {
                break;
            }
            self.claim(host);
            hosts.push(host);
            at = host + 1;
            if suspect {
                break;
            }
        }
        hosts
    }
}

/// The host pages in which a set has a target page.
fn in_host_pages(pages: &PageSet, per_host: u64, hosts: u64) -> Result<PageSet> {
    if per_host == 1 && pages.pages() == hosts {
        return Ok(pages.clone());
    }
    let mut set = PageSet::new(hosts)?;
    let mut at = 0;
    while let Some(page) = pages.next(at) {
        let host = page / per_host;
        set.insert(host);
        at = (host + 1) * per_host;
    }
    Ok(set)
}
