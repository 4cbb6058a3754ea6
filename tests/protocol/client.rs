//! How an actor talks to the store: each request is a step at which others may come in.

use std::cell::{RefCell, RefMut};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::rules::Rule;
use crate::set::Set;
use crate::world::{Body, Chunks, Ghost, Kind, Name, Put, Segment, Step, Value, World};

/// Rounds of creating and reading back.
const ATTEMPT_COUNT_MAX: usize = 6;
/// Pages of a listing.
const PAGE_COUNT_MAX: usize = 3;

/// Why an actor ends before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The store failed.
    Failed,
    /// Others were faster again and again.
    Busy,
    /// Something that is needed is nowhere.
    Lost,
    /// The session was fenced off.
    Fenced,
    /// The model has no room for more.
    Full,
}

/// What an actor gets done, or why not.
pub type Run<T> = Result<T, Ended>;

/// What became of creating an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    Ours,
    Theirs,
}

/// An actor's way to the store.
#[derive(Clone)]
pub struct Client {
    world: Rc<RefCell<World>>,
    label: (&'static str, u16),
}

/// Lets others come in once.
#[derive(Default)]
struct Turn(bool);

impl Future for Turn {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        Poll::Pending
    }
}

impl Client {
    pub fn new(world: Rc<RefCell<World>>, label: (&'static str, u16)) -> Self {
        Self { world, label }
    }

    /// The world as it is: to look something up that costs no request.
    pub fn world(&self) -> RefMut<'_, World> {
        self.world.borrow_mut()
    }

    /// Whether a rule is kept.
    pub fn keeps(&self, rule: Rule) -> bool {
        self.world.borrow().rules.keep(rule)
    }

    /// True so many times in a thousand.
    pub fn happens(&self, share: u32) -> bool {
        self.world().random.per_mille(share)
    }

    /// Notes what the actor did.
    pub fn tell(&self, text: impl FnOnce() -> String) {
        let (verb, number) = self.label;
        self.world().tell(|| format!("{verb}#{number}: {}", text()));
    }

    pub fn segment(&self, id: u16) -> Segment {
        self.world.borrow().segments[usize::from(id)]
    }

    pub fn body(&self, session: u16) -> Body {
        self.world.borrow().bodies[usize::from(session)]
    }

    async fn read_turn(&self) {
        let reading = self.world.borrow().chances.reading;
        if self.happens(reading) {
            Turn::default().await;
        }
    }

    /// Lets others come in, now and then for long: here it would matter most.
    async fn dwell(&self) {
        let dwell = self.world.borrow().chances.dwell;
        if self.happens(dwell) {
            self.world().dwells = true;
            Turn::default().await;
        }
    }

    /// Asks for an object.
    pub async fn get(&self, name: Name) -> Option<Value> {
        self.read_turn().await;
        let mut world = self.world();
        world.counts.gets += 1;
        let unfound = if matches!(name, Name::Snapshot(_)) { world.chances.unfound } else { 0 };
        let is_unfound = world.random.per_mille(unfound);
        world.counts.unfound += u64::from(is_unfound);
        let found = world.get(name).filter(|_| !is_unfound);
        drop(world);
        self.tell(|| format!("get {name:?} -> {found:?}"));
        found
    }

    /// Whether what was just read of a pack is not what it says.
    pub fn misreads(&self) -> bool {
        let mut world = self.world();
        let misread = world.chances.misread;
        let is_misread = world.random.per_mille(misread);
        world.counts.misread += u64::from(is_misread);
        is_misread
    }

    /// What a record of a round says.
    pub async fn round(&self, number: u16, step: Step) -> Option<Set> {
        if step == Step::Doomed {
            self.dwell().await;
        }
        match self.get(Name::Round(number, step)).await? {
            Value::Packs(packs) => Some(packs),
            other => unreachable!("a record of a round is {other:?}"),
        }
    }

    /// Lists once. What comes or goes meanwhile may be there or not; everything else is.
    pub async fn list(&self, kind: Kind) -> Set {
        self.read_turn().await;
        let (page_count, hidden) = self.begin_listing(kind);
        let mut listed = Set::EMPTY;
        let mut done = Set::EMPTY;
        for _ in 1..page_count {
            let (part, names) = self.page(kind);
            listed |= (names & part) - hidden - done;
            done |= part;
            self.tell(|| format!("list {kind:?}, so far {listed:?}"));
            Turn::default().await;
            if matches!(kind, Kind::Rounds | Kind::Segments) {
                self.dwell().await;
            }
        }
        listed |= self.world().list(kind) - hidden - done;
        self.tell(|| format!("list {kind:?} -> {listed:?}"));
        listed
    }

    /// In how many pages the store answers, and what it hides.
    fn begin_listing(&self, kind: Kind) -> (usize, Set) {
        let mut world = self.world();
        world.counts.listings += 1;
        let pages = world.chances.pages;
        let page_count = match world.random.per_mille(pages) {
            true => 2 + world.random.below(PAGE_COUNT_MAX - 1),
            false => 1,
        };
        (page_count, if kind == Kind::Snapshots { world.stored.hidden } else { Set::EMPTY })
    }

    /// Which names are on a page, if they are there, and all that are. Stores list in any order, so
    /// that a page is any part of all names; but what is in one directory comes together.
    fn page(&self, kind: Kind) -> (Set, Set) {
        let mut world = self.world();
        world.counts.paged += 1;
        let part = match kind {
            Kind::Rounds => Set::half_in_threes(&mut world.random),
            _ => Set::half(&mut world.random),
        };
        (part, world.list(kind))
    }

    async fn put(&self, name: Name, value: Value) -> Put {
        Turn::default().await;
        let mut world = self.world();
        world.counts.puts += 1;
        let chances = world.chances;
        let answer = match world.random.per_mille(chances.fault) {
            false => world.put(name, value),
            true => {
                if world.random.per_mille(chances.late) {
                    world.counts.late += 1;
                    world.ghosts.push(Ghost::Put(name, value));
                } else if matches!(name, Name::Pack(_)) && world.random.per_mille(chances.torn) {
                    world.counts.torn += 1;
                    let _put = world.put(name, Value::Short);
                } else if world.random.per_mille(500) {
                    world.counts.failed_before += 1;
                } else {
                    world.counts.failed_after += 1;
                    let _put = world.put(name, value);
                }
                Put::Unclear
            }
        };
        let is_late = world.ghosts.len();
        drop(world);
        self.tell(|| format!("put {name:?} {value:?} -> {answer:?} ({is_late} late)"));
        answer
    }

    /// Creates an object, and where the answer leaves doubt reads it back and compares.
    pub async fn create(&self, name: Name, value: Value) -> Run<Created> {
        if matches!(name, Name::Round(..) | Name::Root(_)) {
            self.dwell().await;
        }
        for _ in 0..ATTEMPT_COUNT_MAX {
            match self.put(name, value).await {
                Put::Created => return Ok(Created::Ours),
                Put::Exists if !self.keeps(Rule::ReadBackTaken) => return Ok(Created::Ours),
                Put::Unclear if !self.keeps(Rule::ReadBackUnclear) => return Ok(Created::Ours),
                Put::Exists | Put::Unclear => {}
            }
            match self.get(name).await {
                Some(stored) if stored == value => return Ok(Created::Ours),
                Some(_) => return Ok(Created::Theirs),
                None => {}
            }
        }
        Err(Ended::Failed)
    }

    /// Stores a pack of these chunks, and returns its name.
    pub async fn put_pack(&self, chunks: Chunks) -> Run<u16> {
        if !self.keeps(Rule::PutPackOnce) {
            let pack = self.world().new_pack(chunks).ok_or(Ended::Full)?;
            return match self.create(Name::Pack(pack), Value::Whole).await? {
                Created::Ours => Ok(pack),
                Created::Theirs => Err(Ended::Failed),
            };
        }
        for _ in 0..ATTEMPT_COUNT_MAX {
            let pack = self.world().new_pack(chunks).ok_or(Ended::Full)?;
            match self.put(Name::Pack(pack), Value::Whole).await {
                Put::Created => return Ok(pack),
                Put::Exists => unreachable!("nobody else has this name"),
                Put::Unclear if !self.keeps(Rule::ReadBackUnclear) => return Ok(pack),
                Put::Unclear => {}
            }
            match self.get(Name::Pack(pack)).await {
                Some(Value::Whole) => return Ok(pack),
                Some(_) => return Err(Ended::Failed),
                None => {}
            }
        }
        Err(Ended::Failed)
    }

    /// Deletes an object. Without an answer the store's own client asks again, half of the times.
    pub async fn delete(&self, name: Name) -> Run<()> {
        loop {
            Turn::default().await;
            let mut world = self.world();
            world.counts.deletes += 1;
            let chances = world.chances;
            let is_answered = !world.random.per_mille(chances.fault);
            if is_answered {
                world.delete(name);
            } else if world.random.per_mille(chances.late) {
                world.counts.late += 1;
                world.ghosts.push(Ghost::Delete(name));
            } else if world.random.per_mille(500) {
                world.counts.failed_before += 1;
            } else {
                world.counts.failed_after += 1;
                world.delete(name);
            }
            let asks_again = world.random.per_mille(500);
            drop(world);
            self.tell(|| format!("delete {name:?} -> {}", if is_answered { "done" } else { "?" }));
            if is_answered {
                return Ok(());
            }
            if !asks_again {
                return Err(Ended::Failed);
            }
        }
    }
}
