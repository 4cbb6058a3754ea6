//! Compares a restored file with the chunks that the snapshot promises.

use std::ops::Range;

use rayon::prelude::*;

use super::compare::has_chunk;
use super::file_place::FilePlace;
use super::how::Reports;
use crate::base::{Error, ErrorKind, Result};
use crate::format::list::Piece;
use crate::repo::list::{Ranged, for_each_range};
use crate::target::{Created, FileReader};

/// Chunks that are compared at a time, by all cores.
const BATCH_COUNT: usize = 512;

/// Reads a file back from its name, and reports every range that is not what it should be.
pub fn read_back(file: &FilePlace, created: &Created, reports: &Reports<'_>) {
    let path = file.path();
    let mismatch = |what: &str| {
        let message = format!("{path} is not what the snapshot has: {what}");
        reports.mismatch(
            Error::new(ErrorKind::Damaged, message)
                .hint("Look after the disk and who writes to it, then restore again."),
        );
    };
    let reader = match file.parent.dir.open_file(&file.entry.name) {
        Ok(reader) if created.is_in_place() => reader,
        Ok(_) => return mismatch("somebody else has put another file there"),
        Err(error) => return mismatch(&format!("it cannot be read back: {error}")),
    };
    let size = file.entry.size.unwrap_or(0);
    if reader.found().size() != size {
        return mismatch(&format!("it has {} bytes and not {size}", reader.found().size()));
    }
    for hole in file.entry.holes.iter().flatten() {
        let end = hole.offset + hole.len;
        if !reader.is_zero(hole.offset..end) {
            mismatch(&format!("bytes {} to {} differ", hole.offset, end - 1));
        }
    }
    let mut ranges = Ranges(Vec::new());
    if let Err(error) = compare_content(file, &reader, &mut ranges, reports) {
        return reports.report(error);
    }
    for content in ranges.0 {
        let mut places = file.layout.ranges(content);
        let first = places.next().unwrap_or_default();
        let last = places.last().unwrap_or_else(|| first.clone());
        mismatch(&format!("bytes {} to {} differ", first.start, last.end.saturating_sub(1)));
    }
}

fn compare_content(
    file: &FilePlace,
    reader: &FileReader,
    ranges: &mut Ranges,
    reports: &Reports<'_>,
) -> Result<()> {
    let Some(list) = &file.entry.content else { return Ok(()) };
    let mut batch: Vec<(u64, Piece)> = Vec::new();
    let mut content = 0;
    for_each_range(reports.reader, list, &mut |range| {
        let piece = match range {
            Ranged::Chunk(piece) => piece,
            Ranged::Lost(_, error) => return Err(error),
        };
        batch.push((content, piece));
        content += piece.len;
        if batch.len() >= BATCH_COUNT {
            reports.cancel.check()?;
            compare_batch(file, reader, &batch, ranges, reports);
            batch.clear();
        }
        Ok(())
    })?;
    compare_batch(file, reader, &batch, ranges, reports);
    Ok(())
}

fn compare_batch(
    file: &FilePlace,
    reader: &FileReader,
    batch: &[(u64, Piece)],
    ranges: &mut Ranges,
    reports: &Reports<'_>,
) {
    let keyring = reports.reader.repository().keyring();
    let read_at = |bytes: &mut [u8], offset| reader.read_at(bytes, offset);
    let has = |bytes: &mut Vec<u8>, (content, piece): &(u64, Piece)| {
        has_chunk(keyring, &file.layout, piece, *content, bytes, reports.comparing, &read_at)
    };
    let same: Vec<bool> = match batch {
        [one] => vec![has(&mut Vec::new(), one)],
        batch => batch.par_iter().map_init(Vec::new, has).collect(),
    };
    for ((content, piece), _) in batch.iter().zip(same).filter(|(_, same)| !same) {
        ranges.add(*content..*content + piece.len);
    }
}

/// Ranges of the content in order, neighbors joined.
struct Ranges(Vec<Range<u64>>);

impl Ranges {
    fn add(&mut self, range: Range<u64>) {
        match self.0.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.0.push(range),
        }
    }
}
