//! Writes segments into the families, each step of which may be the last before a crash.
//!
//! A few entries go into one batch, which is there as a whole or not at all. Many go into a sorted
//! file of their own, eight times faster: first the packs (synced, since the file will refer to
//! their numbers), then the file is ingested, then the segments are marked as applied. A crash in
//! between means that the same is done again; equal places merge into one.

use std::time::Duration;

use rocksdb::{
    IngestExternalFileOptions, SstFileWriter, WaitForCompactOptions, WriteBatch, WriteOptions,
};

use super::store::{CHUNKS, COUNT_KEY, FENCE_KEY, PACKS, SEGMENTS, Store, chunk_file_options};
use crate::base::{Error, ErrorKind, Result, SegmentId};
use crate::index::numbers::{self, head_key, id_key, record_key};
use crate::index::place::PLACE_LEN;
use crate::index::plan::Plan;
use crate::index::{PackHead, Place, Progress, Refused, Segment};

/// Entries up to which a batch is used: half a mebibyte in the log, and no file of its own that
/// has to be compacted away.
const BATCH_ENTRY_COUNT_MAX: usize = 8192;
/// Files on level 0 at which filling waits for compaction: every lookup asks each of them.
const LEVEL0_COUNT_MAX: u64 = 12;
/// The longest such wait. Then filling goes on, and lookups are slow rather than late.
const COMPACTION_WAIT: Duration = Duration::from_secs(120);

/// The state of the one writer.
#[derive(Debug)]
pub(super) struct Writer {
    progress: Progress,
    /// Set when a write failed: it may be in the log nevertheless, so that its numbers must not be
    /// given out again before the log was read back by the next open.
    failed: Option<ErrorKind>,
}

impl Writer {
    /// Continues where the families are.
    pub(super) fn new(store: &Store) -> Result<Self> {
        Ok(Self { progress: store.progress()?, failed: None })
    }

    /// Applies segments.
    pub(super) fn apply(
        &mut self,
        store: &Store,
        segments: &[(SegmentId, &Segment)],
    ) -> Result<Vec<Refused>> {
        if let Some(kind) = self.failed {
            return Err(Error::new(
                kind,
                "could not write the local index after an earlier failure",
            ));
        }
        let plan = Plan::new(segments, store, self.progress.next_no)?;
        if plan.segments.is_empty() {
            return Ok(plan.refused);
        }
        let progress =
            Progress { next_no: plan.next(self.progress.next_no), count: self.progress.count + 1 };
        write_plan(store, &plan, progress).inspect_err(|error| self.failed = Some(error.kind))?;
        self.progress = progress;
        Ok(plan.refused)
    }
}

fn write_plan(store: &Store, plan: &Plan<'_>, progress: Progress) -> Result<()> {
    let mut batch = WriteBatch::default();
    add_packs(store, plan, &mut batch);
    if plan.entry_count() <= BATCH_ENTRY_COUNT_MAX {
        let chunks = store.family(CHUNKS);
        batch.put_cf(chunks, FENCE_KEY, progress.encode());
        let mut value = Vec::new();
        plan.each_chunk(&mut |id, places| {
            encode(places, &mut value);
            batch.merge_cf(chunks, id.as_bytes(), &value);
            Ok(())
        })?;
        add_segments(store, plan, progress, &mut batch);
        return store.db.write(batch).map_err(|error| store.error("write", error));
    }
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    store.db.write_opt(batch, &synced).map_err(|error| store.error("write", error))?;
    ingest(store, plan, progress)?;
    let mut batch = WriteBatch::default();
    add_segments(store, plan, progress, &mut batch);
    store.db.write(batch).map_err(|error| store.error("write", error))?;
    wait_for_compaction(store)
}

fn add_packs(store: &Store, plan: &Plan<'_>, batch: &mut WriteBatch) {
    let packs = store.family(PACKS);
    for (no, table) in &plan.fresh {
        let head = PackHead { id: table.id, len: table.len };
        batch.put_cf(packs, head_key(*no), head.encode());
        batch.put_cf(packs, id_key(&table.id), numbers::encode(&[*no]));
        batch.put_cf(packs, record_key(*no), &table.bytes);
    }
}

fn add_segments(store: &Store, plan: &Plan<'_>, progress: Progress, batch: &mut WriteBatch) {
    let segments = store.family(SEGMENTS);
    batch.put_cf(segments, COUNT_KEY, progress.count.to_le_bytes());
    for segment in &plan.segments {
        batch.put_cf(segments, segment.id.as_bytes(), numbers::encode(&segment.packs));
    }
}

/// Writes the chunks into a sorted file, which then becomes part of the database.
fn ingest(store: &Store, plan: &Plan<'_>, progress: Progress) -> Result<()> {
    let path = store.home.staged();
    let fail = |error| store.error("write", error);
    let options = chunk_file_options();
    let mut file = SstFileWriter::create(&options);
    file.open(&path).map_err(fail)?;
    // Sorts before every id, which is longer.
    file.put(FENCE_KEY, progress.encode()).map_err(fail)?;
    let mut value = Vec::new();
    plan.each_chunk(&mut |id, places| {
        encode(places, &mut value);
        file.merge(id.as_bytes(), &value).map_err(fail)
    })?;
    file.finish().map_err(fail)?;
    let mut how = IngestExternalFileOptions::default();
    how.set_move_files(true);
    store.db.ingest_external_file_cf_opts(store.family(CHUNKS), &how, vec![path]).map_err(fail)
}

/// Files that overlap come in faster than they are merged; all segments overlap.
fn wait_for_compaction(store: &Store) -> Result<()> {
    let property = rocksdb::properties::num_files_at_level(0);
    let count = store.db.property_int_value_cf(store.family(CHUNKS), &property);
    if count.ok().flatten().unwrap_or(0) < LEVEL0_COUNT_MAX {
        return Ok(());
    }
    let mut options = WaitForCompactOptions::default();
    options.set_timeout(COMPACTION_WAIT.as_micros() as u64);
    match store.db.wait_for_compact(&options) {
        Err(error) if error.kind() != rocksdb::ErrorKind::TimedOut => {
            Err(store.error("compact", error))
        }
        _ => Ok(()),
    }
}

fn encode(places: &[Place], value: &mut Vec<u8>) {
    value.clear();
    value.reserve(places.len() * PLACE_LEN);
    for place in places {
        value.extend_from_slice(&place.encode());
    }
}
