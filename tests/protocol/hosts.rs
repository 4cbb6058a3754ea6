//! What the hosts of a schedule have: their files, what they remember of their last run.

use std::cell::RefCell;
use std::rc::Rc;

use crate::index::Index;
use crate::random::Random;
use crate::set::Set;
use crate::world::{CONTENT_COUNT, Directories, Directory, HOST_COUNT};

/// What may be taken over from the last snapshot of a host without asking for each chunk.
#[derive(Clone, Copy, Debug)]
pub struct LastRun {
    pub snapshot: u16,
    /// Segments that were listed then.
    pub segments: Set,
    pub directories: Directories,
}

/// A host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host {
    pub directories: Directories,
    pub index: Index,
    pub last_run: Option<LastRun>,
    /// A run has its cache.
    pub is_busy: bool,
}

/// All hosts.
pub type Hosts = Rc<RefCell<[Host; HOST_COUNT]>>;

/// The cache of a host, given back at the end, also when its run is killed.
pub struct Cache {
    hosts: Hosts,
    host: usize,
    is_kept: bool,
}

impl Cache {
    /// The cache of a host; an empty one that nobody keeps when another run has it, or `is_lost`.
    pub fn take(hosts: &Hosts, host: usize, is_lost: bool) -> (Self, Host) {
        let known = &mut hosts.borrow_mut()[host];
        let is_kept = !known.is_busy && !is_lost;
        let files = Host { directories: known.directories, ..Host::default() };
        let found = if is_kept { *known } else { files };
        known.is_busy |= is_kept;
        (Self { hosts: Rc::clone(hosts), host, is_kept }, found)
    }

    /// Changes what is kept.
    pub fn keep(&self, change: impl FnOnce(&mut Host)) {
        if self.is_kept {
            change(&mut self.hosts.borrow_mut()[self.host]);
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.keep(|host| host.is_busy = false);
    }
}

/// Files with any contents of the pool.
pub fn any_directory(random: &mut Random) -> Directory {
    let count = 1 + random.below(3);
    (0..count).fold(0, |all, _| all | 1 << random.below(CONTENT_COUNT))
}
