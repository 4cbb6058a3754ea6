//! Sessions of writers: backups and what is brought back, as `repo::session` and `ops` make them.

use crate::client::{Client, Created, Ended, Run};
use crate::hosts::{Cache, Hosts, LastRun, any_directory};
use crate::index::{Index, Reader};
use crate::roots::{Snapshots, read_tombed};
use crate::rounds::View;
use crate::rules::Rule;
use crate::set::Set;
use crate::world::{Body, CONTENTS, Chances, Chunks, Directories, Name, Segment, Value};
use crate::world::{contents, each, node};

/// Times that a run starts over.
const ATTEMPT_COUNT_MAX: usize = 5;

/// One session.
struct Session<'c> {
    client: &'c Client,
    id: u16,
    first_look: View,
}

impl<'c> Session<'c> {
    async fn start(client: &'c Client) -> Run<Self> {
        let first_look = View::read(client).await?;
        let id = client.world().new_session().ok_or(Ended::Full)?;
        client.tell(|| format!("starts session {id}"));
        Ok(Self { client, id, first_look })
    }

    /// Stores the root, looks again, and commits unless something is endangered; whether it did.
    /// `relied_on` are packs that the session may rely on; `parent` was taken over without asking
    /// for its chunks.
    async fn end(&self, relied_on: Set, body: Body, parent: Option<u16>) -> Run<bool> {
        let Self { client, id, first_look } = self;
        client.world().bodies[usize::from(*id)] = body;
        if client.keeps(Rule::StoreRoot) {
            client.create(Name::Root(*id), Value::Whole).await?;
        }
        if client.keeps(Rule::LookAgain) {
            let now = View::read(client).await?;
            let new = now.endangered - first_look.endangered;
            let has_gap = now.decided > first_look.decided + 1 && client.keeps(Rule::CountRounds);
            if new.meets(&relied_on) || has_gap {
                client.world().counts.started_over += 1;
                return Ok(false);
            }
        }
        if let Some(parent) = parent.filter(|_| client.keeps(Rule::ParentKeptAfterRoot))
            && read_tombed(client).await.has(parent)
        {
            client.world().counts.started_over += 1;
            return Ok(false);
        }
        match client.create(Name::Snapshot(*id), Value::Snapshot).await? {
            Created::Ours => {
                client.world().acknowledge(*id);
                client.tell(|| format!("committed snapshot {id}"));
                Ok(true)
            }
            Created::Theirs => Err(Ended::Fenced),
        }
    }
}

/// Makes a snapshot of the files of a host.
pub async fn backup(client: &Client, hosts: &Hosts, host: usize) -> Run<()> {
    let Chances { change, forgetful, .. } = client.world().chances;
    let is_lost = client.happens(forgetful);
    let (cache, mut known) = Cache::take(hosts, host, is_lost);
    for directory in &mut known.directories {
        if client.happens(change) {
            *directory = any_directory(&mut client.world().random);
        }
    }
    hosts.borrow_mut()[host].directories = known.directories;
    let mut backup = Backup { client, cache, index: known.index, host };
    backup.index.refresh(client).await?;
    let index = backup.index.remembered();
    backup.cache.keep(|host| host.index = index);
    for attempt in 1..=ATTEMPT_COUNT_MAX {
        let last_run = known.last_run.filter(|_| attempt == 1);
        if backup.attempt(last_run, known.directories).await? {
            return Ok(());
        }
    }
    Err(Ended::Busy)
}

struct Backup<'c> {
    client: &'c Client,
    cache: Cache,
    index: Index,
    host: usize,
}

impl Backup<'_> {
    async fn attempt(&mut self, last_run: Option<LastRun>, directories: Directories) -> Run<bool> {
        let client = self.client;
        let session = Session::start(client).await?;
        self.index.list_packs(client, session.first_look.endangered).await;
        let snapshots = Snapshots::read(client).await;
        let taken_over = last_run.filter(|last| self.may_take_over(&snapshots, last));
        let mut asked: Chunks = 0;
        for (place, directory) in directories.into_iter().enumerate() {
            asked |= node(directory);
            if taken_over.is_none_or(|last| last.directories[place] != directory) {
                asked |= contents(directory);
            }
        }
        let adopted = self.adopt(session.first_look.endangered).await?;
        let segments = adopted | self.store(asked & !self.index.alive_chunks(client)).await?;
        let seen = snapshots.heads(client);
        let (writer, sequence) = (self.host as u8, client.world().now);
        let body = Body { directories, segments, seen, writer, sequence };
        client.tell(|| format!("has {body:?}, taken over: {taken_over:?}"));
        client.world().counts.taken_over += u64::from(taken_over.is_some());
        let snapshot = session.id;
        let this_run = LastRun { snapshot, segments: self.index.segments, directories };
        if !client.keeps(Rule::ParentCommitted) {
            self.cache.keep(|host| host.last_run = Some(this_run));
        }
        let parent = taken_over.map(|last| last.snapshot);
        let mut relied_on = self.index.alive;
        if !client.keeps(Rule::LookAtAll) {
            relied_on = each(asked).fold(Set::EMPTY, |all, chunk| {
                all | (self.index.locate(client, chunk) & self.index.alive)
            });
        }
        if !session.end(relied_on, body, parent).await? {
            return Ok(false);
        }
        self.cache.keep(|host| {
            host.last_run = Some(this_run);
            host.index = self.index.remembered();
        });
        Ok(true)
    }

    /// Whether the last run of this host may be taken over without asking for each chunk.
    fn may_take_over(&self, snapshots: &Snapshots, last: &LastRun) -> bool {
        let client = self.client;
        let newest = snapshots.newest_of(client, self.host as u8);
        // Without a segment of then, others would not find what is taken over.
        let gone = last.segments - self.index.segments - self.index.superseded;
        let is_kept = snapshots.kept.has(last.snapshot) && newest == Some(last.snapshot);
        let is_forgotten = !client.keeps(Rule::ParentKept) && newest.is_none();
        let is_uncommitted = !client.keeps(Rule::ParentCommitted);
        (is_kept || is_forgotten || is_uncommitted)
            && gone.is_empty()
            && !(self.index.is_degraded() && client.keeps(Rule::ParentWhole))
    }

    /// Describes in a segment what packs hold that no segment names, and that are not endangered.
    async fn adopt(&mut self, endangered: Set) -> Run<Set> {
        let client = self.client;
        let mut waiting = Set::EMPTY;
        for pack in (self.index.unindexed - endangered).iter() {
            let found = client.get(Name::Pack(pack)).await;
            if found == Some(Value::Whole) && !client.misreads() {
                waiting.insert(pack);
            }
        }
        let mut segments = Set::EMPTY;
        if !waiting.is_empty() {
            client.world().counts.adopted += waiting.len() as u64;
            segments.insert(put_segment(client, &mut self.index, &mut waiting).await?);
        }
        Ok(segments)
    }

    /// Stores new chunks, each in a pack that a segment names; those segments.
    async fn store(&mut self, new: Chunks) -> Run<Set> {
        let client = self.client;
        let mut segments = Set::EMPTY;
        let mut waiting = Set::EMPTY;
        let splits = client.happens(500);
        let parts = if splits { [new & CONTENTS, new & !CONTENTS] } else { [new, 0] };
        for part in parts.into_iter().filter(|part| *part != 0) {
            waiting.insert(client.put_pack(part).await?);
            if client.happens(500) {
                segments.insert(put_segment(client, &mut self.index, &mut waiting).await?);
            }
        }
        if !waiting.is_empty() {
            segments.insert(put_segment(client, &mut self.index, &mut waiting).await?);
        }
        Ok(segments)
    }
}

/// Stores a segment over packs that wait for it.
pub async fn put_segment(client: &Client, index: &mut Index, waiting: &mut Set) -> Run<u16> {
    let segment = Segment { packs: std::mem::take(waiting), supersedes: Set::EMPTY };
    let id = client.world().new_segment(segment).ok_or(Ended::Full)?;
    client.create(Name::Segment(id), Value::Whole).await?;
    index.apply_own(client, id);
    Ok(id)
}

/// Brings a forgotten snapshot back under a new id, if there is one.
pub async fn unforget(client: &Client) -> Run<()> {
    let forgotten = Snapshots::read(client).await.forgotten;
    let Some(old) = forgotten.any(&mut client.world().random) else { return Ok(()) };
    let mut index = Index::default();
    index.refresh(client).await?;
    for _ in 0..ATTEMPT_COUNT_MAX {
        let session = Session::start(client).await?;
        index.refresh(client).await?;
        index.list_packs(client, session.first_look.endangered).await;
        let old_body = client.body(old);
        if lacks(client, &mut index, &old_body).await? {
            return Err(Ended::Lost);
        }
        let seen = Snapshots::read(client).await.heads(client);
        let (segments, sequence) = (Set::EMPTY, client.world().now);
        let body = Body { segments, seen, sequence, ..old_body };
        if session.end(index.alive, body, None).await? {
            client.world().counts.brought_back += 1;
            return Ok(());
        }
    }
    Err(Ended::Busy)
}

/// Whether something of a snapshot is gone.
async fn lacks(client: &Client, index: &mut Index, body: &Body) -> Run<bool> {
    let mut reader = Reader::default();
    if client.keeps(Rule::UnforgetAlive) && body.needs() & !index.alive_chunks(client) != 0 {
        return Ok(true);
    }
    for directory in body.directories {
        if !reader.read(client, index, node(directory)).await? {
            return Ok(true);
        }
        for chunk in each(contents(directory)) {
            let is_sound = chunk & index.alive_chunks(client) != 0;
            if !is_sound && !reader.read(client, index, chunk).await? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
