//! How much of each pack is needed, as `ops::prune::usage` counts it.

use crate::client::Client;
use crate::index::Index;
use crate::rules::Rule;
use crate::set::Set;
use crate::world::Chunks;

/// The packs that can be relied on, each with the chunks for which it is the one to keep.
pub fn live(client: &Client, index: &Index, needed: Chunks) -> Vec<(u16, Chunks)> {
    let world = client.world();
    let mut rest = needed;
    let packs = index.alive.iter().map(|pack| {
        let kept = world.packs[usize::from(pack)] & rest;
        rest &= !kept;
        (pack, kept)
    });
    packs.collect()
}

/// Which candidates can go: not those that hold the last copy of a chunk that is needed.
pub fn doomed(client: &Client, index: &Index, needed: Chunks, candidates: Set) -> Set {
    let world = client.world();
    let mut rest = needed & !world.chunks_of(index.alive - candidates);
    let mut doomed = candidates;
    if !world.rules.keep(Rule::KeepLastCopy) {
        // Only whether another pack has it is asked, candidate or not.
        let mut once: Chunks = 0;
        let mut twice: Chunks = 0;
        for pack in index.alive.iter() {
            twice |= once & world.packs[usize::from(pack)];
            once |= world.packs[usize::from(pack)];
        }
        rest &= !twice;
    }
    for pack in (candidates & index.alive).iter() {
        let held = world.packs[usize::from(pack)] & rest;
        if held != 0 {
            rest &= !held;
            doomed.remove(pack);
        }
    }
    if world.rules.keep(Rule::KeepOnlyCopy) {
        // What is needed and lies in no pack that can be relied on may yet be read from this one.
        for pack in doomed.iter() {
            if world.packs[usize::from(pack)] & rest != 0 {
                doomed.remove(pack);
            }
        }
    }
    doomed
}
