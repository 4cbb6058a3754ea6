//! Rows and meta records in the database.
//!
//! Rows and stamps are written without log: losing the last ones costs a look into their
//! directories, no more, since a stamp only counts with the very row it was made for. Meta records
//! are few and go through the log. One may survive rows that did not, never the reverse, as all
//! families are flushed together.

use rocksdb::{FlushOptions, IteratorMode, WriteBatch, WriteOptions};

use super::store::{META, ROWS, STAMPS, Store};
use crate::index::lock;
use crate::index::rows::{RowKey, Rows};
use crate::index::stamp::Stamp;

/// Rows in one write, in bytes: bounds what is in memory twice.
const WRITE_BYTES: usize = 1 << 20;
/// Keys in one write or request.
const WRITE_COUNT: usize = 1024;

impl Store {
    /// A meta record.
    pub(in crate::index) fn meta_get(&self, key: &str) -> Option<Vec<u8>> {
        let found = self.db.get_cf(self.family(META), key);
        self.forgive("read", found).flatten()
    }

    /// Every meta record that can be read.
    pub(in crate::index) fn metas(&self) -> Vec<(String, Vec<u8>)> {
        let records = self.db.iterator_cf(self.family(META), rocksdb::IteratorMode::Start);
        let readable = records.map_while(std::result::Result::ok);
        // That of the store itself starts with a zero.
        let ours = readable.filter(|(key, _)| key.first() != Some(&0));
        ours.filter_map(|(key, value)| Some((String::from_utf8(key.into()).ok()?, value.into())))
            .collect()
    }

    /// Writes a meta record.
    pub(in crate::index) fn meta_put(&self, key: &str, bytes: &[u8]) {
        if self.is_owner {
            self.forgive("write", self.db.put_cf(self.family(META), key, bytes));
        }
    }

    /// The first failure since the last call that nobody was told.
    pub(in crate::index) fn take_failure(&self) -> Option<crate::base::Error> {
        lock(&self.first_failure).take()
    }

    /// Remembers an error in place of failing.
    fn forgive<T>(&self, doing: &str, result: Result<T, rocksdb::Error>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let error = self.error(doing, error);
                lock(&self.first_failure).get_or_insert(error);
                None
            }
        }
    }

    fn write_unlogged(&self, batch: WriteBatch) {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.forgive("write", self.db.write_opt(batch, &options));
    }

    /// The stamps of `keys`, as far as they are of `epoch`.
    fn stamps(&self, keys: &[RowKey], epoch: u64) -> Vec<Option<Stamp>> {
        let values = self.db.batched_multi_get_cf(self.family(STAMPS), keys, false);
        let stamps = keys.iter().zip(values).map(|(key, value)| {
            let value = self.forgive("read", value).flatten()?;
            Stamp::decode(key, &value).filter(|stamp| stamp.epoch == epoch)
        });
        stamps.collect()
    }
}

impl Rows for Store {
    fn get(&self, keys: &[RowKey], epoch: u64) -> Vec<Option<Vec<u8>>> {
        let mut rows = vec![None; keys.len()];
        for (keys, rows) in keys.chunks(WRITE_COUNT).zip(rows.chunks_mut(WRITE_COUNT)) {
            let stamped: Vec<(usize, Stamp)> = self
                .stamps(keys, epoch)
                .into_iter()
                .enumerate()
                .filter_map(|(position, stamp)| Some((position, stamp?)))
                .collect();
            let wanted = stamped.iter().map(|(position, _)| &keys[*position]);
            let values = self.db.batched_multi_get_cf(self.family(ROWS), wanted, false);
            for ((position, stamp), value) in stamped.iter().zip(values) {
                let key = &keys[*position];
                rows[*position] = self
                    .forgive("read", value)
                    .flatten()
                    .filter(|bytes| Stamp::new(key, bytes, epoch) == *stamp)
                    .map(|bytes| bytes.to_vec());
            }
        }
        rows
    }

    fn put(&self, rows: &[(RowKey, &[u8])], epoch: u64) {
        if !self.is_owner {
            return;
        }
        let mut batch = WriteBatch::default();
        for (key, bytes) in rows {
            batch.put_cf(self.family(ROWS), key, bytes);
            batch.put_cf(self.family(STAMPS), key, Stamp::new(key, bytes, epoch).encode(key));
            if batch.size_in_bytes() >= WRITE_BYTES {
                self.write_unlogged(std::mem::take(&mut batch));
            }
        }
        self.write_unlogged(batch);
    }

    fn stamp(&self, keys: &[RowKey], from: u64, to: u64) {
        if !self.is_owner {
            return;
        }
        for keys in keys.chunks(WRITE_COUNT) {
            let mut batch = WriteBatch::default();
            for (key, stamp) in keys.iter().zip(self.stamps(keys, from)) {
                if let Some(stamp) = stamp {
                    let stamp = Stamp { epoch: to, ..stamp };
                    batch.put_cf(self.family(STAMPS), key, stamp.encode(key));
                }
            }
            self.write_unlogged(batch);
        }
    }

    fn keep(&self) {
        if self.is_owner {
            let families = [self.family(ROWS), self.family(STAMPS)];
            self.forgive("write", self.db.flush_cfs_opt(&families, &FlushOptions::default()));
        }
    }

    fn retain(&self, epochs: &[u64]) -> u64 {
        let mut count = 0;
        if !self.is_owner {
            return count;
        }
        let mut batch = WriteBatch::default();
        for entry in self.db.iterator_cf(self.family(STAMPS), IteratorMode::Start) {
            let Some((key, value)) = self.forgive("read", entry) else { break };
            let stamp = RowKey::try_from(&*key).ok().and_then(|key| Stamp::decode(&key, &value));
            if stamp.is_some_and(|stamp| epochs.contains(&stamp.epoch)) {
                continue;
            }
            count += 1;
            batch.delete_cf(self.family(ROWS), &key);
            batch.delete_cf(self.family(STAMPS), &key);
            if batch.len() >= WRITE_COUNT {
                self.write_unlogged(std::mem::take(&mut batch));
            }
        }
        self.write_unlogged(batch);
        count
    }
}
