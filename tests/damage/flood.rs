//! Puts more junk among the objects than anybody could look at one by one.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parados::backend::error::BackendError;
use parados::backend::memory::Memory;
use parados::backend::{Backend, Junk, Listed, Location, Put, probe};
use parados::base::Timestamp;
use parados::format::{ObjectKind, ObjectName};
use parados::seal::Sealed;

use crate::junk::{junk, name};
use crate::world::{ALL_OPERATIONS, Case, Operation, Ticks, World, look, peak_memory};

/// Objects that a stranger has put under one prefix; another number by this variable.
const COUNT: u64 = 4000;
const COUNT_VARIABLE: &str = "PARADOS_FLOOD_COUNT";
/// Memory of this process, whatever else its tests do at the same time.
const MEMORY_MAX: u64 = 2 << 30;
/// Kinds of which one that cannot be read keeps a prune from knowing what is needed.
const BLOCKS_PRUNE: [ObjectKind; 3] =
    [ObjectKind::Session, ObjectKind::Snapshot, ObjectKind::Generation];
/// Contents that it has.
const CONTENT_COUNT: u64 = 64;

/// A store in which one prefix is flooded. What floods it is made up when it is asked for, so that
/// all memory that is taken is that of who asks.
struct Flooded {
    inner: Arc<Memory>,
    /// What each of it is one of.
    contents: Arc<Memory>,
    kind: ObjectKind,
    count: u64,
}

impl Flooded {
    fn new(inner: &Arc<Memory>, kind: ObjectKind, count: u64) -> Arc<Self> {
        let contents = Memory::new("flood", Arc::new(Ticks::default()));
        for n in 0..CONTENT_COUNT {
            contents.plant(ObjectName::config(n).as_str(), junk(kind, n));
        }
        Arc::new(Self { inner: Arc::clone(inner), contents, kind, count })
    }

    fn is_junk(&self, name: &ObjectName) -> bool {
        // What a probe deleted is gone.
        let is_probed = probe::is_left_over(name);
        name.kind() == self.kind && !is_probed && self.inner.stat(name).is_err()
    }

    /// Where its content is.
    fn content(name: &ObjectName) -> ObjectName {
        let sum: u64 = name.as_str().bytes().map(u64::from).sum();
        ObjectName::config(sum % CONTENT_COUNT)
    }
}

impl Backend for Flooded {
    fn location(&self) -> &Location {
        self.inner.location()
    }

    fn put(&self, name: &ObjectName, sealed: &Sealed) -> Result<Put, BackendError> {
        self.inner.put(name, sealed)
    }

    fn get(&self, name: &ObjectName) -> Result<Sealed, BackendError> {
        self.inner.get(name).or_else(|error| match self.is_junk(name) {
            true => self.contents.get(&Self::content(name)),
            false => Err(error),
        })
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Sealed, BackendError> {
        self.inner.get_range(name, range.clone()).or_else(|error| match self.is_junk(name) {
            true => self.contents.get_range(&Self::content(name), range),
            false => Err(error),
        })
    }

    fn stat(&self, name: &ObjectName) -> Result<Listed, BackendError> {
        self.inner.stat(name)
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(Result<Listed, Junk>),
    ) -> Result<(), BackendError> {
        self.inner.list(kind, each)?;
        if kind != self.kind {
            return Ok(());
        }
        for n in 0..self.count {
            let name = name(kind, n);
            match ObjectName::parse(&name) {
                Ok(name) if n % 3 > 0 => {
                    let len = self.contents.stat(&Self::content(&name))?.len;
                    // Later than everything else: who may only create cannot choose the time.
                    each(Ok(Listed {
                        name,
                        len,
                        modified: Timestamp::new(i64::from(u32::MAX), 0),
                    }));
                }
                _ => each(Err(Junk { name: format!("{name}.junk"), len: 7 })),
            }
        }
        Ok(())
    }

    fn delete(&self, name: &ObjectName) -> Result<(), BackendError> {
        self.inner.delete(name)
    }

    fn heal(&self, name: &ObjectName, sealed: &Sealed) -> Result<(), BackendError> {
        self.inner.heal(name, sealed)
    }
}

/// 39: backups and restores go on, and everything else but a prune that cannot know what it means.
#[test]
fn a_flood_of_junk_costs_time_and_no_more() {
    let count = std::env::var(COUNT_VARIABLE).map_or(COUNT, |text| text.parse().unwrap());
    for kind in ObjectKind::ALL {
        let Some(_case) = Case::begin(format!("39 {kind:?}")) else { continue };
        let mut world = World::new();
        world.fill();
        let mut id = world.backup();
        let expected = look(&world.at("source"));
        world.patience *= (count / COUNT).max(1) as u32;
        world.front = Some(Flooded::new(&world.store, kind, count));
        for operation in ALL_OPERATIONS {
            let started = Instant::now();
            let answer = world.run(operation, id);
            tell(kind, operation, started.elapsed());
            let error = answer.error.as_ref();
            // A root or a record of another prune may be what needs everything.
            let may_refuse = operation == Operation::Prune && BLOCKS_PRUNE.contains(&kind);
            let is_named = error.is_some_and(|error| error.to_string().contains(kind.prefix()));
            assert!(error.is_none() || may_refuse && is_named, "{operation:?}: {error:?}");
            match operation {
                Operation::Restore => assert_eq!(world.of_source(&answer.restored), expected),
                Operation::Check => assert!(!answer.findings.is_empty()),
                Operation::Unforget => id = answer.snapshots[0],
                _ => {}
            }
        }
        let answer = world.run(Operation::Restore, id);
        assert_eq!(world.of_source(&answer.restored), expected, "{}", answer.told());
    }
    assert!(peak_memory() < MEMORY_MAX, "{} bytes", peak_memory());
}

/// What takes how long, where more is tried than a test has time for.
#[expect(clippy::print_stderr, reason = "it is only asked for by hand")]
fn tell(kind: ObjectKind, operation: Operation, elapsed: Duration) {
    if std::env::var_os(COUNT_VARIABLE).is_some() {
        eprintln!("{kind:?} {operation:?}: {elapsed:.1?}, at most {} MiB", peak_memory() >> 20);
    }
}
