//! The cache of one repository on this host, in the best form that can be had right now.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::{Index, MemoryIndex, MemoryRows, NoRows, Rows, lock};
#[cfg(feature = "rocksdb")]
use super::{LocalIndex, OpenError, SharedIndex};
#[cfg(feature = "rocksdb")]
use crate::base::ErrorKind;
use crate::base::{Error, RepositoryId};

/// Where to keep the cache.
#[derive(Clone, Debug)]
pub struct CacheOptions {
    /// Directory for the caches of this repository alone; nothing keeps everything in memory.
    pub dir: Option<PathBuf>,
    /// The repository.
    pub repository: RepositoryId,
    /// Blocks of the local index kept in memory, in bytes.
    pub block_cache_bytes: usize,
}

impl CacheOptions {
    /// Options with a block cache of 32 MiB.
    pub fn new(dir: Option<PathBuf>, repository: RepositoryId) -> Self {
        Self { dir, repository, block_cache_bytes: 32 << 20 }
    }
}

/// Something a person may want to know about the cache; never a failure of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice(pub String);

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What form the cache has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// RocksDB, owned by this process.
    Local,
    /// RocksDB of another process, read beside it.
    Shared,
    /// Memory, forgotten at the end.
    Memory,
}

/// Index, rows and meta records of one repository.
///
/// After opening, the caller compares [`Index::segments`] with the segments the repository lists
/// and applies what is missing. When an answer of the index is an error, [`Cache::recover`] gives
/// an empty cache that works, and the caller does the same again.
#[derive(Debug)]
pub struct Cache {
    options: CacheOptions,
    form: Form,
    /// Whether this process has given the directory a second chance already.
    was_rebuilt: bool,
}

#[derive(Debug)]
enum Form {
    Memory(Arc<InMemory>),
    #[cfg(feature = "rocksdb")]
    Local(Box<LocalIndex>),
    #[cfg(feature = "rocksdb")]
    Shared(Box<SharedIndex>),
}

#[derive(Debug, Default)]
struct InMemory {
    index: MemoryIndex,
    /// Kept where the next run of a simulated host finds them.
    rows: Option<MemoryRows>,
    meta: Mutex<HashMap<String, Vec<u8>>>,
}

impl Cache {
    /// Opens the cache; whatever is wrong with the directory is a notice.
    pub fn open(options: CacheOptions) -> (Self, Vec<Notice>) {
        let mut notices = Vec::new();
        let mut cache = Self { options, form: Form::memory(), was_rebuilt: false };
        #[cfg(test)]
        if let Some(memory) = simulated::memory() {
            (cache.form, cache.was_rebuilt) = (Form::Memory(memory), true);
            return (cache, notices);
        }
        cache.open_form(&mut notices);
        (cache, notices)
    }

    /// A cache in memory, for tests and simulation.
    pub fn memory(repository: RepositoryId) -> Self {
        Self {
            options: CacheOptions::new(None, repository),
            form: Form::memory(),
            was_rebuilt: true,
        }
    }

    /// Replaces a failing cache by an empty one: in the same place when its files are at fault for
    /// the first time, otherwise in memory.
    ///
    /// Segments must be applied again. Every [`super::PackNo`], [`super::Place`] and
    /// [`super::Alive`] from before is void.
    pub fn recover(&mut self, error: &Error) -> Vec<Notice> {
        let mut notices = Vec::new();
        #[cfg(feature = "rocksdb")]
        if matches!(self.form, Form::Shared(_)) || error.kind == ErrorKind::Full {
            self.was_rebuilt = true;
        }
        if self.was_rebuilt {
            notices.push(Notice(format!("{error}; keeping the index in memory for this run")));
        }
        self.replace(&mut notices);
        notices
    }

    /// Starts anew because too much of the index is about packs that are gone (see
    /// [`super::Alive::stale_count`]); the same rules hold as for [`Cache::recover`].
    pub fn rebuild(&mut self) -> Vec<Notice> {
        let mut notices = Vec::new();
        #[cfg(feature = "rocksdb")]
        if matches!(self.form, Form::Shared(_)) {
            // It is the owner's to rebuild.
            return notices;
        }
        self.was_rebuilt = false;
        self.replace(&mut notices);
        notices
    }

    fn replace(&mut self, notices: &mut Vec<Notice>) {
        // They tell what the backend cannot: which config and which damage this host has seen.
        let metas = self.metas();
        #[cfg(feature = "rocksdb")]
        if let Form::Local(local) = &self.form
            && !self.was_rebuilt
        {
            local.poison();
        }
        // Closes the database, so that the directory is free.
        self.form = Form::memory();
        if !std::mem::replace(&mut self.was_rebuilt, true) {
            self.open_form(notices);
        }
        metas.iter().for_each(|(key, bytes)| self.meta_put(key, bytes));
    }

    fn metas(&self) -> Vec<(String, Vec<u8>)> {
        match &self.form {
            Form::Memory(memory) => lock(&memory.meta).clone().into_iter().collect(),
            #[cfg(feature = "rocksdb")]
            Form::Local(index) => index.store().metas(),
            #[cfg(feature = "rocksdb")]
            Form::Shared(index) => index.store().metas(),
        }
    }

    #[cfg(not(feature = "rocksdb"))]
    fn open_form(&mut self, notices: &mut Vec<Notice>) {
        if self.options.dir.is_some() {
            notices.push(Notice(
                "this program was built without RocksDB; keeping the index in memory".to_owned(),
            ));
        }
    }

    #[cfg(feature = "rocksdb")]
    fn open_form(&mut self, notices: &mut Vec<Notice>) {
        let Some(dir) = &self.options.dir else { return };
        let (repository, bytes) = (self.options.repository, self.options.block_cache_bytes);
        let in_memory =
            |error: Error| Notice(format!("{error}; keeping the index in memory for this run"));
        match LocalIndex::open(dir, repository, bytes) {
            Ok((index, rebuilt)) => {
                notices.extend(rebuilt.map(|reason| {
                    let dir = dir.display();
                    Notice(format!("the local index in {dir} is built anew: {reason}"))
                }));
                self.form = Form::Local(Box::new(index));
            }
            Err(OpenError::Unusable(error)) => notices.push(in_memory(error)),
            Err(OpenError::Locked) => match SharedIndex::open(dir, repository, bytes) {
                Ok(index) => {
                    notices.push(Notice(format!(
                        "the local index in {} is in use by another process; reading it beside that",
                        dir.display()
                    )));
                    self.form = Form::Shared(Box::new(index));
                }
                Err(OpenError::Unusable(error)) => notices.push(in_memory(error)),
                Err(OpenError::Locked) => notices.push(Notice(format!(
                    "the local index in {} is in use by another process; \
                     keeping the index in memory for this run",
                    dir.display()
                ))),
            },
        }
    }

    /// What form the cache has.
    pub fn state(&self) -> State {
        match &self.form {
            Form::Memory(..) => State::Memory,
            #[cfg(feature = "rocksdb")]
            Form::Local(_) => State::Local,
            #[cfg(feature = "rocksdb")]
            Form::Shared(_) => State::Shared,
        }
    }

    /// Where chunks lie.
    pub fn index(&self) -> &dyn Index {
        match &self.form {
            Form::Memory(memory) => &memory.index,
            #[cfg(feature = "rocksdb")]
            Form::Local(index) => &**index,
            #[cfg(feature = "rocksdb")]
            Form::Shared(index) => &**index,
        }
    }

    /// What the last run saw.
    pub fn rows(&self) -> &dyn Rows {
        match &self.form {
            Form::Memory(memory) => memory.rows.as_ref().map_or(&NoRows, |rows| rows),
            #[cfg(feature = "rocksdb")]
            Form::Local(index) => index.store(),
            #[cfg(feature = "rocksdb")]
            Form::Shared(index) => index.store(),
        }
    }

    /// A meta record; absent when it cannot be read.
    pub fn meta_get(&self, key: &str) -> Option<Vec<u8>> {
        match &self.form {
            Form::Memory(memory) => lock(&memory.meta).get(key).cloned(),
            #[cfg(feature = "rocksdb")]
            Form::Local(index) => index.store().meta_get(key),
            #[cfg(feature = "rocksdb")]
            Form::Shared(index) => index.store().meta_get(key),
        }
    }

    /// Writes a meta record, or not: a run must not fail for what may be deleted at any time.
    /// Without effect when another process owns the cache.
    pub fn meta_put(&self, key: &str, bytes: &[u8]) {
        match &self.form {
            Form::Memory(memory) => {
                lock(&memory.meta).insert(key.to_owned(), bytes.to_vec());
            }
            #[cfg(feature = "rocksdb")]
            Form::Local(index) => index.store().meta_put(key, bytes),
            #[cfg(feature = "rocksdb")]
            Form::Shared(index) => index.store().meta_put(key, bytes),
        }
    }

    /// What failed silently since the last call: rows or meta records that were not kept.
    pub fn take_notices(&self) -> Vec<Notice> {
        #[cfg(feature = "rocksdb")]
        {
            let failure = match &self.form {
                Form::Memory(..) => None,
                Form::Local(index) => index.store().take_failure(),
                Form::Shared(index) => index.store().take_failure(),
            };
            failure
                .map(|error| Notice(format!("{error}; the next run will be slower")))
                .into_iter()
                .collect()
        }
        #[cfg(not(feature = "rocksdb"))]
        Vec::new()
    }
}

impl Form {
    fn memory() -> Self {
        Self::Memory(Arc::default())
    }
}

/// The cache of a host that is simulated, which outlives the runs there.
#[cfg(test)]
pub(crate) mod simulated {
    use std::cell::RefCell;
    use std::sync::Arc;

    use super::{InMemory, Index, MemoryRows};

    /// What a host keeps.
    #[derive(Clone, Debug)]
    pub(crate) struct Kept(Arc<InMemory>);

    impl Default for Kept {
        fn default() -> Self {
            let rows = Some(MemoryRows::default());
            Self(Arc::new(InMemory { rows, ..InMemory::default() }))
        }
    }

    impl Kept {
        /// What it says of chunks and packs.
        pub(crate) fn index(&self) -> &dyn Index {
            &self.0.index
        }
    }

    thread_local! {
        static HOST: RefCell<Option<Kept>> = const { RefCell::new(None) };
    }

    /// From here on this thread runs on the host that has this cache.
    pub(crate) fn run_on(host: Option<Kept>) {
        HOST.set(host);
    }

    pub(super) fn memory() -> Option<Arc<InMemory>> {
        HOST.with_borrow(|host| host.as_ref().map(|kept| Arc::clone(&kept.0)))
    }
}
