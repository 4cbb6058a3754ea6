//! The database: families, options, the meaning of errors.

use std::path::Path;
use std::sync::Mutex;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB,
    DBCompressionType, DBRecoveryMode, LogLevel, MergeOperands, Options,
};

use super::home::Home;
use crate::base::{Error, ErrorKind, RepositoryId, Result};
use crate::index::place::{PLACE_LEN, Place};
use crate::index::recent::Recent;

/// Chunk id → all its places, 16 bytes each, as merge operands. Also [`FENCE_KEY`].
pub(super) const CHUNKS: &str = "chunks";
/// `n` + number → id and length; `i` + id → number; `f` + number → the whole record.
pub(super) const PACKS: &str = "packs";
/// Segment id → the numbers of its packs. Also [`COUNT_KEY`].
pub(super) const SEGMENTS: &str = "segments";
/// Row key → row.
pub(super) const ROWS: &str = "rows";
/// Row key → stamp.
pub(super) const STAMPS: &str = "stamps";
/// Text → whatever the caller remembers. Also [`IDENTITY_KEY`].
pub(super) const META: &str = "meta";

const FAMILIES: [&str; 6] = [CHUNKS, PACKS, SEGMENTS, ROWS, STAMPS, META];

/// In [`CHUNKS`]: the first pack number that no place may use, the count of fillings so far.
///
/// Pack numbers come by the log and chunks by ingested files. If the log is lost and the files
/// are not, numbers would be given out twice and chunks lie in the wrong packs; if files are lost
/// and the log is not, chunks would be missing from segments that count as applied. This record
/// travels with the chunks and convicts both.
pub(super) const FENCE_KEY: &[u8] = b"\0";
/// In [`SEGMENTS`]: the count of fillings so far.
pub(super) const COUNT_KEY: &[u8] = b"\0";
/// In [`META`]: schema and repository. The zero keeps it apart from the caller's keys.
const IDENTITY_KEY: &[u8] = b"\0identity";
/// Version of everything in this folder that is stored.
const SCHEMA: &[u8] = b"parados local index 1\0";

/// Write buffers of all families together, in bytes.
const WRITE_BUFFER_BYTES: usize = 16 << 20;
/// Write buffer of one family in bytes; a second one may fill while the first is written out.
const FAMILY_BUFFER_BYTES: usize = 4 << 20;
/// Small arenas: with the default of an eighth of the buffer, six idle families take 3 MiB.
const ARENA_BYTES: usize = 64 << 10;
/// Open files, of 1,024 that a process usually may have.
const OPEN_FILE_COUNT_MAX: i32 = 256;
/// Length of a file on the lower levels: 16 TiB of data in 64 KiB chunks are 230 files.
const FILE_BYTES: u64 = 64 << 20;
/// Length of the first sorted level: every fourth hourly run rewrites it.
const LEVEL_BASE_BYTES: u64 = 64 << 20;
/// Log of changes to the set of files; the default of 1 GiB would let it grow for years.
const MANIFEST_BYTES_MAX: usize = 4 << 20;
/// 1 % of misses cost a read (RocksDB wiki, "Bloom Filter").
const FILTER_BITS_PER_KEY: f64 = 10.0;

/// Why a database cannot be opened.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Another process has it open, with a program that does not know our lock.
    Locked,
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// An open database.
#[derive(Debug)]
pub(in crate::index) struct Store {
    pub(super) db: DB,
    pub(super) home: Home,
    pub(super) recent: Recent,
    /// Whether this process may write.
    pub(super) is_owner: bool,
    /// First failure in a place that must not fail (rows, meta records).
    pub(super) first_failure: Mutex<Option<Error>>,
}

impl Store {
    /// Opens for writing, creates what is missing.
    pub(super) fn open(home: &Home, cache_bytes: usize) -> Result<Self, Trouble> {
        let mut options = database_options();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let families = families(cache_bytes);
        let opened = DB::open_cf_descriptors(&options, home.database(), families);
        Self::new(home, opened, true)
    }

    /// Opens for reading beside the owner, as it is now.
    pub(super) fn open_beside(
        home: &Home,
        private: &Path,
        cache_bytes: usize,
    ) -> Result<Self, Trouble> {
        let mut options = database_options();
        // The owner deletes files whenever it compacts; only open files survive that.
        options.set_max_open_files(-1);
        let families = families(cache_bytes);
        let opened = DB::open_cf_descriptors_as_secondary(
            &options,
            home.database().as_path(),
            private,
            families,
        );
        Self::new(home, opened, false)
    }

    fn new(
        home: &Home,
        opened: Result<DB, rocksdb::Error>,
        is_owner: bool,
    ) -> Result<Self, Trouble> {
        match opened {
            Ok(db) => Ok(Self {
                db,
                home: home.clone(),
                recent: Recent::default(),
                is_owner,
                first_failure: Mutex::default(),
            }),
            // RocksDB says this by text alone.
            Err(error) if error.as_ref().contains("/LOCK") => Err(Trouble::Locked),
            Err(error) => Err(Trouble::Failed(translate("open", home, error))),
        }
    }

    /// Refuses a database of another repository or schema; marks an empty one as ours.
    pub(super) fn check_identity(&self, repository: RepositoryId) -> Result<()> {
        let identity = [SCHEMA, repository.as_bytes()].concat();
        let meta = self.family(META);
        let found = self.db.get_cf(meta, IDENTITY_KEY).map_err(|e| self.error("open", e))?;
        match found {
            Some(found) if found == identity => Ok(()),
            None if self.is_owner && self.is_empty()? => {
                self.db.put_cf(meta, IDENTITY_KEY, identity).map_err(|e| self.error("create", e))
            }
            _ => {
                let message = format!(
                    "the local index at {} belongs to another repository",
                    self.home.database().display()
                );
                Err(Error::new(ErrorKind::Damaged, message))
            }
        }
    }

    /// Whether nothing was ever stored.
    fn is_empty(&self) -> Result<bool> {
        for name in FAMILIES {
            let mut entries = self.db.iterator_cf(self.family(name), rocksdb::IteratorMode::Start);
            match entries.next() {
                None => {}
                Some(Ok(_)) => return Ok(false),
                Some(Err(error)) => return Err(self.error("open", error)),
            }
        }
        Ok(true)
    }

    /// A family by name.
    pub(super) fn family(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("every family was opened with the database")
    }

    /// Translates an error; makes the next open start anew when the files are at fault.
    pub(super) fn error(&self, doing: &str, error: rocksdb::Error) -> Error {
        let error = translate(doing, &self.home, error);
        if error.kind == ErrorKind::Damaged {
            self.poison();
        }
        error
    }

    /// Makes the next open start anew, unless the files belong to another process.
    pub(super) fn poison(&self) {
        if self.is_owner {
            self.home.poison();
        }
    }
}

/// What an error of RocksDB means for us.
fn translate(doing: &str, home: &Home, error: rocksdb::Error) -> Error {
    let text = error.as_ref();
    // Kinds of input and output errors are given by text alone.
    let kind = if text.contains("No space left") || text.contains("Disk quota exceeded") {
        ErrorKind::Full
    } else if text.contains("Too many open files") || text.contains("Permission denied") {
        ErrorKind::Access
    } else {
        // Files vanish and blocks rot: in either case only a new start helps.
        ErrorKind::Damaged
    };
    let path = home.database();
    Error::new(kind, format!("could not {doing} the local index at {}", path.display()))
        .because(error)
}

fn database_options() -> Options {
    let mut options = Options::default();
    // Rows are written without log. Flushing all families at once means that what is on disk was
    // true together at some moment, whichever tail a crash cuts off.
    options.set_atomic_flush(true);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_max_total_wal_size(2 * WRITE_BUFFER_BYTES as u64);
    options.set_db_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_open_files(OPEN_FILE_COUNT_MAX);
    options.set_max_file_opening_threads(1);
    options.set_max_background_jobs(2);
    options.set_max_manifest_file_size(MANIFEST_BYTES_MAX);
    // 4 MiB by default, more than the whole index of a small repository.
    options.set_manifest_preallocation_size(64 << 10);
    options.set_keep_log_file_num(1);
    options.set_log_level(LogLevel::Warn);
    options.set_skip_stats_update_on_db_open(true);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_paranoid_checks(true);
    options
}

/// The families, which share one block cache.
fn families(cache_bytes: usize) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_hyper_clock_cache(cache_bytes, 0);
    FAMILIES
        .iter()
        .map(|name| ColumnFamilyDescriptor::new(*name, family_options(name, &cache)))
        .collect()
}

/// Options of the files that [`super::fill`] writes itself; they must match those of the family.
pub(super) fn chunk_file_options() -> Options {
    family_options(CHUNKS, &Cache::new_lru_cache(0))
}

fn family_options(name: &str, cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_bloom_filter(FILTER_BITS_PER_KEY, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    options.set_write_buffer_size(FAMILY_BUFFER_BYTES);
    options.set_arena_block_size(ARENA_BYTES);
    options.set_target_file_size_base(FILE_BYTES);
    options.set_max_bytes_for_level_base(LEVEL_BASE_BYTES);
    options.set_compression_type(DBCompressionType::Lz4);
    if name == CHUNKS {
        // Whole filters of large files (1.2 MiB each) push each other out of the cache from about
        // 1 TiB on. Parts cost 0.5 µs more a miss while all fit, which is 8 ms per GiB of chunks.
        table.set_partition_filters(true);
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_pin_top_level_index_and_filter(true);
        // Ids are random: nothing to gain.
        options.set_compression_type(DBCompressionType::None);
        options.set_merge_operator_associative("parados.places", merge_places);
    }
    options.set_block_based_table_factory(&table);
    options
}

/// Joins places: sorted, each once, so that a segment applied twice changes nothing.
///
/// Runs inside RocksDB, where a panic would end the process: it must take any bytes.
fn merge_places(key: &[u8], existing: Option<&[u8]>, operands: &MergeOperands) -> Option<Vec<u8>> {
    if key == FENCE_KEY {
        // Never merged, always put; the newest would be right.
        return operands.iter().last().or(existing).map(<[u8]>::to_vec);
    }
    let mut values = existing.into_iter().chain(operands);
    let first = values.next()?;
    let Some(second) = values.next() else { return Some(first.to_vec()) };
    let mut places: Vec<Place> = Place::decode_all(first).collect();
    places.extend(Place::decode_all(second));
    places.extend(values.flat_map(Place::decode_all));
    places.sort_unstable();
    places.dedup();
    let mut merged = Vec::with_capacity(places.len() * PLACE_LEN);
    for place in places {
        merged.extend_from_slice(&place.encode());
    }
    Some(merged)
}
