//! Captures one stream as the only file of a tree.

use super::backup::ending;
use super::blocks::{BLOCK_LEN, Blocks};
use super::read::Reading;
use super::workers::Workers;
use crate::base::Result;
use crate::format::entry::{Entry, TreeRef};
use crate::repo::tree::{EncodedEntry, TreeBuilder};
use crate::seal::keys::Keyring;
use crate::source::{OpenStream, Stream};

/// Reads `stream` to its end. `before` is the encoded entry that it had in the parent.
///
/// # Errors
/// When it cannot be read to its end, or the command behind it did not succeed: whatever was read
/// until then stays without an entry.
pub(super) fn capture<'s>(
    reading: &'s Reading<'s>,
    workers: Workers<'_, 's>,
    keyring: &Keyring,
    stream: &Stream,
    before: Option<&[u8]>,
) -> Result<Option<TreeRef>> {
    reading.progress.set_current(stream.path().to_bytes());
    let mut open = stream.open()?;
    let (mut entry, parents) = stream.describe(&reading.describer.owners);
    let mut blocks = Blocks::new(reading, None);
    while read(reading, workers, &mut open, &mut entry, &mut blocks)? == BLOCK_LEN {}
    // Nothing is written down of a command before it is known to have succeeded.
    open.finish(reading.cancel)?;
    entry.size = Some(blocks.offset());
    entry.content = blocks.finish()?;
    let entry = EncodedEntry::new(&entry);
    reading.count_file(before, &entry);
    tree(reading, keyring, entry, parents)
}

/// Reads one block, which is short at the end.
fn read<'s>(
    reading: &'s Reading<'s>,
    workers: Workers<'_, 's>,
    open: &mut OpenStream,
    entry: &mut Entry,
    blocks: &mut Blocks<'s>,
) -> Result<usize> {
    if reading.failure.is_raised() {
        return Err(ending());
    }
    let mut fault = None;
    let len = blocks.read(workers, entry, BLOCK_LEN, false, |buffer| {
        match open.fill(buffer, reading.cancel) {
            Ok(len) => len,
            Err(error) => {
                fault = Some(error);
                0
            }
        }
    })?;
    fault.map_or(Ok(len), Err)
}

/// The directories around `entry`, from the innermost to the outermost.
fn tree(
    reading: &Reading<'_>,
    keyring: &Keyring,
    mut entry: EncodedEntry,
    mut parents: Vec<Entry>,
) -> Result<Option<TreeRef>> {
    let mut put = |raw| reading.sealer.metadata(raw);
    loop {
        let mut builder = TreeBuilder::new(keyring);
        builder.push(&entry, &mut put)?;
        let tree = builder.finish(&mut put)?;
        reading.progress.directories_done.add(1);
        let Some(mut parent) = parents.pop() else { return Ok(tree) };
        parent.tree = tree;
        entry = EncodedEntry::new(&parent);
    }
}
