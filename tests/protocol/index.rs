//! What an actor knows of where chunks are, as `repo::chunks` and `index::Alive` do.

use crate::client::{Client, Ended, Run};
use crate::rules::Rule;
use crate::set::Set;
use crate::world::{Chunks, Kind, Name, Segment, Value};

/// Times that segments are listed until nothing has changed.
const LISTING_COUNT_MAX: usize = 100;

/// What one actor knows, or one host remembers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Index {
    /// Segments that were ever applied.
    applied: Set,
    /// Segments that are listed and applied.
    pub segments: Set,
    /// Segments that were replaced, as far as it was seen.
    pub superseded: Set,
    /// Packs that any of them named, or whose headers were read.
    pub known: Set,
    /// Packs that must not be relied on.
    doomed: Set,
    /// Packs that can be relied on.
    pub alive: Set,
    /// Named packs that are not listed.
    pub missing: Set,
    /// Named packs that are listed with another length.
    cut: Set,
    /// Listed packs that no segment names.
    pub unindexed: Set,
    relies_on_doomed: bool,
    has_adopted: bool,
    /// It looked for a lost chunk not long ago.
    has_searched: bool,
}

impl Index {
    /// What a host keeps for the next run.
    pub fn remembered(&self) -> Self {
        Self {
            applied: self.applied,
            segments: self.segments,
            superseded: self.superseded,
            known: self.known,
            ..Self::default()
        }
    }

    /// Lists segments again and takes in the new ones.
    pub async fn refresh(&mut self, client: &Client) -> Run<()> {
        for _ in 0..LISTING_COUNT_MAX {
            let listed = client.list(Kind::Segments).await;
            let is_whole = self.take_in(client, listed).await;
            if !client.keeps(Rule::StableIndex)
                || (is_whole && client.list(Kind::Segments).await == listed)
            {
                return Ok(());
            }
        }
        Err(Ended::Busy)
    }

    /// Takes in what is listed; whether all of it was still there.
    async fn take_in(&mut self, client: &Client, listed: Set) -> bool {
        self.segments = listed;
        for id in (listed - self.applied).iter() {
            if client.get(Name::Segment(id)).await.is_none() {
                // A prune deleted it after a better one was written.
                self.segments.remove(id);
                continue;
            }
            let segment = client.segment(id);
            self.applied.insert(id);
            self.known |= segment.packs;
            self.superseded |= segment.supersedes;
            self.segments -= segment.supersedes;
        }
        (listed - self.applied).is_empty()
    }

    /// Lists packs: only those with the right length count, and none of `doomed`.
    pub async fn list_packs(&mut self, client: &Client, doomed: Set) {
        let listed = client.list(Kind::Packs).await;
        let mut named = Set::EMPTY;
        for id in self.segments.iter() {
            named |= client.segment(id).packs;
        }
        let short = match client.keeps(Rule::CheckLength) {
            true => client.world().stored.short & listed,
            false => Set::EMPTY,
        };
        self.alive = (listed & named) - short;
        self.cut = named & short;
        self.missing = named - listed;
        self.unindexed = listed - named;
        if !client.keeps(Rule::ListPacks) {
            self.alive = named;
            self.missing = Set::EMPTY;
        }
        self.doomed = doomed;
        self.relies_on_doomed = self.alive.meets(&doomed);
        self.alive -= doomed;
        client.tell(|| format!("can rely on packs {:?}, not on {doomed:?}", self.alive));
    }

    /// Whether nothing may be taken over without asking for each chunk.
    pub fn is_degraded(&self) -> bool {
        !self.missing.is_empty() || !self.cut.is_empty() || self.relies_on_doomed
    }

    /// Whether a segment was applied.
    pub fn has_applied(&self, segment: u16) -> bool {
        self.applied.has(segment)
    }

    /// All chunks in packs that can be relied on.
    pub fn alive_chunks(&self, client: &Client) -> Chunks {
        client.world().chunks_of(self.alive)
    }

    /// Takes in a segment that this session stored.
    pub fn apply_own(&mut self, client: &Client, id: u16) {
        let Segment { packs, supersedes } = client.segment(id);
        self.segments -= supersedes;
        self.superseded |= supersedes;
        self.segments.insert(id);
        self.applied.insert(id);
        self.known |= packs;
        self.alive |= packs - self.doomed;
    }

    /// Known packs that hold a chunk.
    pub fn locate(&self, client: &Client, chunk: Chunks) -> Set {
        let world = client.world();
        let mut holders = self.known;
        for pack in self.known.iter() {
            if world.packs[usize::from(pack)] & chunk == 0 {
                holders.remove(pack);
            }
        }
        holders
    }

    /// Looks again for a chunk that is nowhere: in new segments, then in headers of packs.
    async fn search_again(&mut self, client: &Client, chunk: Chunks) -> Run<()> {
        // The clock decides how soon it looks once more.
        let is_done = self.has_adopted || !client.keeps(Rule::AdoptBeforeLost);
        if self.has_searched && is_done && client.happens(500) {
            return Ok(());
        }
        self.refresh(client).await?;
        if self.locate(client, chunk).is_empty() {
            self.adopt(client).await;
        }
        self.has_searched = true;
        Ok(())
    }

    /// Lists segments and packs again, and has packs that no segment names say what they hold.
    pub async fn look_closely(&mut self, client: &Client) -> Run<CloseLook> {
        self.refresh(client).await?;
        let listed = client.list(Kind::Packs).await;
        let mut is_complete = true;
        for pack in (listed - self.known).iter() {
            let found = client.get(Name::Pack(pack)).await;
            if found == Some(Value::Whole) && !client.misreads() {
                self.known.insert(pack);
            } else {
                is_complete = false;
            }
        }
        Ok(CloseLook { listed, is_complete })
    }

    /// Takes in what the headers of packs say that no segment names, once.
    async fn adopt(&mut self, client: &Client) {
        if std::mem::replace(&mut self.has_adopted, true) {
            return;
        }
        let listed = client.list(Kind::Packs).await;
        for pack in (listed - self.known).iter() {
            let found = client.get(Name::Pack(pack)).await;
            if found == Some(Value::Whole) && !client.misreads() {
                self.known.insert(pack);
            }
        }
    }
}

/// Which packs are there, looked at closely enough to call a chunk gone.
pub struct CloseLook {
    listed: Set,
    /// It is known of each of them what it holds.
    is_complete: bool,
}

/// Where a close look finds a chunk that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// No pack that is there holds it.
    Gone,
    /// A pack that is there holds it.
    There,
    /// No pack that is there is known to hold it, and one that does not say what it holds may.
    Unknown,
}

impl CloseLook {
    /// Where a chunk is, if anywhere.
    pub fn whereabouts(&self, client: &Client, index: &Index, chunk: Chunks) -> Whereabouts {
        let copies = index.locate(client, chunk);
        match copies.meets(&self.listed) {
            true => Whereabouts::There,
            false if self.is_complete => Whereabouts::Gone,
            false => Whereabouts::Unknown,
        }
    }
}

/// Reads chunks, as `repo::reader` does.
#[derive(Default)]
pub struct Reader {
    /// Packs that a request has found missing.
    missing: Set,
    /// Packs for which the segments were listed again.
    looked: Set,
}

impl Reader {
    /// Whether a chunk can be read from any copy.
    pub async fn read(&mut self, client: &Client, index: &mut Index, chunk: Chunks) -> Run<bool> {
        let mut copies = index.locate(client, chunk);
        if copies.is_empty() {
            index.search_again(client, chunk).await?;
            copies = index.locate(client, chunk);
        }
        if self.read_any(client, copies).await {
            return Ok(true);
        }
        let gone = copies & self.missing;
        if gone.is_empty() {
            return Ok(false);
        }
        if !(gone - self.looked).is_empty() {
            index.refresh(client).await?;
            self.looked |= gone;
        }
        let moved = index.locate(client, chunk) - copies;
        if self.read_any(client, moved).await {
            return Ok(true);
        }
        if !client.keeps(Rule::AdoptBeforeLost) {
            return Ok(false);
        }
        index.adopt(client).await;
        let adopted = index.locate(client, chunk) - copies - moved;
        Ok(self.read_any(client, adopted).await)
    }

    async fn read_any(&mut self, client: &Client, copies: Set) -> bool {
        for pack in (copies - self.missing).iter() {
            match client.get(Name::Pack(pack)).await {
                Some(Value::Whole) if client.misreads() => {}
                Some(Value::Whole) => return true,
                Some(_) => {}
                None => self.missing.insert(pack),
            }
        }
        false
    }
}
