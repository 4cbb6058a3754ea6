//! Finds out which parts of files the target has already, so that only the rest is fetched.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::budget::Budget;
use super::fetch::Part;
use super::file_place::FilePlace;
use super::how::Reports;
use super::layout::Layout;
use crate::format::FrameKind;
use crate::format::list::Piece;
use crate::seal::frame;
use crate::seal::keys::Keyring;

/// Longest buffer that is kept for the next chunk: few are longer, and each core has one.
const KEPT_LEN_MAX: usize = 1 << 20;

/// Deals with the parts of a window that need not be fetched, and returns the others. A file is in
/// one piece of the window, and windows come one after the other.
pub fn take_what_is_there(parts: Vec<Part>, reports: &Reports<'_>) -> Vec<Part> {
    let may_help = |part: &Part| part.file.old_may_help() || part.file.may_have_left_over();
    if !reports.how.dry_run && !parts.iter().any(may_help) {
        return parts;
    }
    let mut files: Vec<Vec<Part>> = Vec::new();
    for part in parts {
        match files.last_mut() {
            Some(file) if Arc::ptr_eq(&file[0].file, &part.file) => file.push(part),
            _ => files.push(vec![part]),
        }
    }
    files.into_par_iter().flat_map_iter(|parts| of_file(parts, reports)).collect()
}

/// The same for the parts of one file.
fn of_file(parts: Vec<Part>, reports: &Reports<'_>) -> Vec<Part> {
    if reports.failure.is_raised() {
        return parts;
    }
    let file = Arc::clone(&parts[0].file);
    let same = compare_with_old(&file, &parts, reports);
    let is_all_same = same.iter().all(|same| *same);
    let rest = if is_all_same && !file.is_begun() {
        let end = parts.last().map_or(0, |part| part.content + part.piece.len);
        file.same_until(end);
        settle(parts, &file, &same, reports)
    } else if reports.how.dry_run {
        file.differs();
        for part in parts.iter().zip(&same).filter(|(_, same)| !**same).map(|(part, _)| part) {
            reports.progress.bytes_done.add(part.piece.len);
        }
        let rest = settle(parts, &file, &same, reports);
        rest.into_iter().for_each(|part| part.file.release(reports));
        Vec::new()
    } else {
        let has = compare_with_left_over(&file, &parts, reports);
        for content in ranges(
            parts
                .iter()
                .zip(same.iter().zip(&has))
                .filter_map(|(part, (same, has))| (*same && !*has).then_some(part)),
        ) {
            file.take_from_old(content, reports);
        }
        let done: Vec<bool> = same.iter().zip(&has).map(|(same, has)| *same || *has).collect();
        settle(parts, &file, &done, reports)
    };
    file.release(reports);
    rest
}

/// Which parts the file that is there has in the same place.
fn compare_with_old(file: &FilePlace, parts: &[Part], reports: &Reports<'_>) -> Vec<bool> {
    let opened = if file.old().is_some() { None } else { file.open_old() };
    let Some(old) = file.old().or(opened.as_ref()) else { return vec![false; parts.len()] };
    let same = compare(file, parts, reports, &|bytes, offset| old.read_at(bytes, offset));
    if let Some(opened) = opened
        && same.contains(&true)
    {
        file.keep_old(opened);
    }
    same
}

/// Which parts a run that was killed has written.
fn compare_with_left_over(file: &FilePlace, parts: &[Part], reports: &Reports<'_>) -> Vec<bool> {
    let writer = if file.may_have_left_over() { file.writer(reports) } else { None };
    match writer.filter(|writer| writer.is_left_over()) {
        Some(writer) => {
            compare(file, parts, reports, &|bytes, offset| writer.read_at(bytes, offset))
        }
        None => vec![false; parts.len()],
    }
}

fn compare(
    file: &FilePlace,
    parts: &[Part],
    reports: &Reports<'_>,
    read_at: &ReadAt<'_>,
) -> Vec<bool> {
    let keyring = reports.reader.repository().keyring();
    let compare = |bytes: &mut Vec<u8>, part: &Part| {
        let Part { piece, content, .. } = part;
        has_chunk(keyring, &file.layout, piece, *content, bytes, reports.comparing, read_at)
    };
    match parts {
        [part] => vec![compare(&mut Vec::new(), part)],
        parts => parts.par_iter().map_init(Vec::new, compare).collect(),
    }
}

/// Fills a buffer with what lies at an offset, or says that it cannot.
pub type ReadAt<'a> = dyn Fn(&mut [u8], u64) -> bool + Sync + 'a;

/// Whether a file has the chunk `piece` where byte `content` of its content lies. What is read is
/// counted in `comparing`.
pub fn has_chunk(
    keyring: &Keyring,
    layout: &Layout,
    piece: &Piece,
    content: u64,
    bytes: &mut Vec<u8>,
    comparing: &Budget,
    read_at: &ReadAt<'_>,
) -> bool {
    // The format limits what a chunk may have.
    let _grant = comparing.take(piece.len as usize);
    bytes.resize(piece.len as usize, 0);
    let mut rest = &mut bytes[..];
    let is_read = layout.ranges(content..content + piece.len).all(|range| {
        let (now, later) =
            std::mem::take(&mut rest).split_at_mut((range.end - range.start) as usize);
        rest = later;
        read_at(now, range.start)
    });
    let is_same = is_read && frame::verify(keyring, FrameKind::Data, &piece.id, bytes).is_ok();
    if bytes.len() > KEPT_LEN_MAX {
        *bytes = Vec::new();
    }
    is_same
}

/// Ranges of the content, neighbors joined.
fn ranges<'p>(parts: impl Iterator<Item = &'p Part>) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for part in parts {
        let end = part.content + part.piece.len;
        match ranges.last_mut() {
            Some(last) if last.end == part.content => last.end = end,
            _ => ranges.push(part.content..end),
        }
    }
    ranges
}

/// Lets go of the parts that are done, and returns the others.
fn settle(parts: Vec<Part>, file: &FilePlace, done: &[bool], reports: &Reports<'_>) -> Vec<Part> {
    let mut rest = Vec::new();
    for (part, done) in parts.into_iter().zip(done) {
        if *done {
            file.note_same(part.piece.len, reports);
            part.file.release(reports);
        } else {
            rest.push(part);
        }
    }
    rest
}
