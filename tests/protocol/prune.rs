//! Rounds of a prune, as `ops::prune` goes through them.

use crate::client::{Client, Ended, Run};
use crate::index::Index;
use crate::marks::Marks;
use crate::roots::Roots;
use crate::rounds::{self, Round, agree, doomed_in};
use crate::rules::Rule;
use crate::segments;
use crate::set::Set;
use crate::usage;
use crate::world::{Chunks, Kind, Name, ROUND_MAX, Step, Value};
use crate::writer::put_segment;

/// Rounds in one run.
const ROUND_COUNT_MAX: usize = 2;

/// How to prune.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The grace is over at once.
    pub has_no_grace: bool,
    /// Sessions without decision count as abandoned.
    pub fences: bool,
    /// Packs that are needed in part are emptied.
    pub empties: bool,
    /// Small segments are merged from so many.
    pub merges_from: usize,
}

/// A run of prune.
pub struct Prune<'c> {
    pub client: &'c Client,
    pub options: Options,
    pub index: Index,
    pub marks: Marks,
}

impl<'c> Prune<'c> {
    /// Prunes.
    pub async fn run(client: &'c Client, options: Options) -> Run<()> {
        let mut index = Index::default();
        index.refresh(client).await?;
        for _ in 0..ROUND_COUNT_MAX {
            let mut prune = Prune { client, options, index, marks: Marks::default() };
            if !prune.round().await? {
                break;
            }
            index = prune.index;
        }
        Ok(())
    }

    /// Finishes the round that is open, or begins one; whether another may follow.
    async fn round(&mut self) -> Run<bool> {
        let client = self.client;
        let mut rounds = rounds::read(client).await?;
        let highest = rounds.last().map_or(0, |round| round.number);
        if client.keeps(Rule::TwoRoundsCount) {
            let old = rounds.iter().take_while(|round| round.number + 1 < highest).count();
            for round in rounds.drain(..old) {
                rounds::trim(client, round.number).await?;
            }
        }
        if client.keeps(Rule::DeleteOnceMore) {
            self.delete(doomed_in(&rounds)).await?;
        }
        if let Some(round) = rounds.last().filter(|round| round.doomed.is_none())
            && client.keeps(Rule::OneUndecided)
        {
            return self.decide(round, round.candidates.unwrap_or_default(), None).await;
        }
        self.begin(&rounds, highest + 1).await
    }

    /// Names candidates, and goes on with them if there is no grace.
    async fn begin(&mut self, rounds: &[Round], number: u16) -> Run<bool> {
        let client = self.client;
        if number > ROUND_MAX {
            return Err(Ended::Full);
        }
        // As a session does, which it is for what it moves.
        let _view = rounds::View::read(client).await?;
        if let [before, _] = rounds
            && client.keeps(Rule::NoneLeft)
            && client.list(Kind::Packs).await.meets(&before.doomed.unwrap_or_default())
        {
            client.tell(|| "doomed packs are left".to_owned());
            return Ok(false);
        }
        let (candidates, roots) = self.candidates(doomed_in(rounds)).await?;
        if candidates.is_empty() && roots.forgotten.is_empty() {
            return Ok(false);
        }
        let agreed = agree(client, number, Step::Candidates, candidates).await?;
        let round = Round { number, ..Round::default() };
        self.decide(&round, agreed, Some(roots)).await.map(|_| false)
    }

    /// Finds packs that may go, and moves what is needed out of those that mostly are not needed.
    async fn candidates(&mut self, doomed: Set) -> Run<(Set, Roots)> {
        let client = self.client;
        let roots = self.mark(doomed).await?;
        let live = usage::live(client, &self.index, self.marks.needed);
        let gone = self.gone(doomed);
        self.replace_segments(gone, &roots).await?;
        let mut packs = Set::EMPTY;
        let mut emptied = Vec::new();
        for (pack, needed) in live {
            let all = client.world().packs[usize::from(pack)];
            match needed {
                0 => packs.insert(pack),
                _ if needed != all && self.options.empties => emptied.push((pack, needed)),
                _ => {}
            }
        }
        packs |= self.unindexed().await;
        packs |= self.move_frames(emptied).await?;
        Ok((packs, roots))
    }

    /// Copies what is needed out of packs into a new one; those of which all has a copy now.
    async fn move_frames(&mut self, emptied: Vec<(u16, Chunks)>) -> Run<Set> {
        let client = self.client;
        let mut moved = Set::EMPTY;
        let mut frames: Chunks = 0;
        for (pack, needed) in emptied {
            // Another prune may have deleted it, or it is damaged.
            if client.get(Name::Pack(pack)).await == Some(Value::Whole) {
                frames |= needed;
                moved.insert(pack);
            }
        }
        if frames != 0 {
            let mut waiting = Set::of(client.put_pack(frames).await?);
            put_segment(client, &mut self.index, &mut waiting).await?;
            client.world().counts.moved += 1;
        }
        Ok(moved)
    }

    /// Packs that no segment names and that hold the last copy of nothing. What one holds that was
    /// stored in part nobody knows.
    async fn unindexed(&mut self) -> Set {
        let client = self.client;
        let mut found = Set::EMPTY;
        for pack in self.index.unindexed.iter() {
            let Some(value) = client.get(Name::Pack(pack)).await else { continue };
            let held = match value {
                Value::Whole => client.world().packs[usize::from(pack)],
                _ => Chunks::MAX,
            };
            let needed = held & self.marks.needed;
            let has_copies = needed & !self.index.alive_chunks(client) == 0;
            if has_copies || !client.keeps(Rule::ReadHeader) {
                found.insert(pack);
            }
        }
        found
    }

    /// Decides on the candidates of a round and carries it out, unless its grace is not over.
    async fn decide(&mut self, round: &Round, candidates: Set, known: Option<Roots>) -> Run<bool> {
        let (client, number) = (self.client, round.number);
        if !self.options.has_no_grace && !round.has_begun && client.happens(700) {
            return Ok(false);
        }
        agree(client, number, Step::Begin, Set::EMPTY).await?;
        // Everything from here on was read after the beginning.
        let rounds = rounds::read(client).await?;
        if rounds.last().is_some_and(|last| last.number > number) {
            return Ok(false);
        }
        let counting = rounds.iter().copied().filter(|round| {
            round.number + 1 >= number || !client.keeps(Rule::TwoRoundsCountInDecision)
        });
        let earlier = doomed_in(&counting.collect::<Vec<_>>());
        let known = known.filter(|_| !client.keeps(Rule::ReadRootsAgain));
        let roots = match known {
            Some(roots) => roots,
            None => self.mark(earlier).await?,
        };
        let loose = candidates & self.index.unindexed;
        let needed = self.marks.needed;
        let mut decided = usage::doomed(client, &self.index, needed, candidates - loose);
        self.index.list_packs(client, earlier | decided).await;
        decided |= self.unindexed().await & loose;
        let decided = agree(client, number, Step::Doomed, decided).await?;
        if client.keeps(Rule::LookAfterDoom)
            && rounds::read(client).await?.last().is_some_and(|last| last.number > number + 1)
        {
            rounds::trim(client, number).await?;
            return Ok(false);
        }
        self.carry_out(number, decided, &roots).await?;
        Ok(true)
    }

    /// Deletes what is doomed, and all that leads to it.
    async fn carry_out(&mut self, number: u16, doomed: Set, roots: &Roots) -> Run<()> {
        let client = self.client;
        let _view = rounds::View::read(client).await?;
        let gone = self.gone(doomed);
        self.replace_segments(gone, roots).await?;
        self.delete(doomed).await?;
        if client.keeps(Rule::DeleteAfterDoom) {
            self.delete_forgotten(roots).await?;
        }
        match number.checked_sub(2) {
            None | Some(0) => Ok(()),
            Some(old) => rounds::trim(client, old).await,
        }
    }

    async fn delete_forgotten(&self, roots: &Roots) -> Run<()> {
        for id in roots.forgotten.iter() {
            self.client.delete(Name::Snapshot(id)).await?;
        }
        Ok(())
    }

    /// Packs that no segment needs to name.
    fn gone(&self, doomed: Set) -> Set {
        let lost = self.marks.needed & !self.index.alive_chunks(self.client);
        let world = self.client.world();
        let is_missed = |pack: &u16| world.packs[usize::from(*pack)] & lost != 0;
        let missing = self.index.missing.iter().filter(|pack| !is_missed(pack));
        missing.fold(doomed, |gone, pack| gone | Set::of(pack))
    }

    async fn replace_segments(&mut self, gone: Set, roots: &Roots) -> Run<()> {
        let named = roots.live.iter().fold(Set::EMPTY, |all, (_, body)| all | body.segments);
        let from = self.options.merges_from;
        segments::rewrite(self.client, &mut self.index, gone, named, from).await
    }

    /// Deletes those of `packs` that are there.
    async fn delete(&self, packs: Set) -> Run<()> {
        if packs.is_empty() {
            return Ok(());
        }
        let there = self.client.list(Kind::Packs).await & packs;
        for pack in there.iter() {
            self.client.delete(Name::Pack(pack)).await?;
        }
        Ok(())
    }

    /// Reads roots, then the index, then packs, and marks what the roots lead to.
    async fn mark(&mut self, doomed: Set) -> Run<Roots> {
        let client = self.client;
        for _ in 0..MARK_COUNT_MAX {
            if !client.keeps(Rule::IndexAfterRoots) {
                self.index.list_packs(client, doomed).await;
            }
            let roots = self.roots().await?;
            if client.keeps(Rule::IndexAfterRoots) {
                self.index.refresh(client).await?;
                self.index.list_packs(client, doomed).await;
            }
            if self.marks.follow(client, &mut self.index, &roots.live).await? {
                client.tell(|| format!("needs {:#x}", self.marks.needed));
                return Ok(roots);
            }
            if let Some(id) = self.marks.unknown.take() {
                client.create(Name::Snapshot(id), Value::Abort).await?;
                continue;
            }
            let now = Roots::read(client).await?.live;
            if roots.live.iter().all(|(root, _)| now.iter().any(|(other, _)| root == other)) {
                return Err(Ended::Lost);
            }
        }
        Err(Ended::Busy)
    }

    /// Reads the roots, and cleans up what sessions left that are over.
    async fn roots(&self) -> Run<Roots> {
        let client = self.client;
        let mut roots = Roots::read(client).await?;
        for id in roots.finished.iter() {
            client.delete(Name::Root(id)).await?;
        }
        if !client.keeps(Rule::DeleteAfterDoom) {
            self.delete_forgotten(&roots).await?;
        }
        if !self.options.fences {
            return Ok(roots);
        }
        for id in roots.undecided.iter() {
            if client.keeps(Rule::FenceByAbort) {
                client.create(Name::Snapshot(id), Value::Abort).await?;
                continue;
            }
            client.delete(Name::Root(id)).await?;
            roots.live.retain(|(live, _)| *live != crate::roots::Live::Pending(id));
        }
        Ok(roots)
    }
}

/// Times that roots are read again because some of them were forgotten meanwhile.
const MARK_COUNT_MAX: usize = 10;
