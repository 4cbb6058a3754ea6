//! The rules of the protocol, each of which can be switched off.

/// A rule. The code does not keep yet what is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    // Writing.
    /// A writer does not rely on candidates of a round that has begun.
    HeedBegin,
    /// A writer looks at the generations again after its root is stored.
    LookAgain,
    /// A writer looks at all packs that it may rely on, not only at those it asked for.
    LookAtAll,
    /// A writer starts over when so many rounds passed that it may have missed one.
    CountRounds,
    /// A view of the generations is taken again when a record went away meanwhile.
    RestartView,
    /// A chunk is stored only if its pack is in a listing of this session.
    ListPacks,
    /// A pack of another length than the index says is not there.
    CheckLength,
    /// A root is stored before the snapshot.
    StoreRoot,
    /// Only a snapshot that is not forgotten is a parent.
    ParentKept,
    /// After the root is stored, the parent is looked for among the forgotten.
    ParentKeptAfterRoot,
    /// Only what is committed is a parent.
    ParentCommitted,
    /// A parent is taken over only if no pack that segments name is missing.
    ParentWhole,
    /// What is taken back from the forgotten lies in packs that can be relied on. Open.
    UnforgetAlive,
    /// A pack is put once under its name: after a lost answer it gets another one. Open.
    PutPackOnce,
    // Creating.
    /// A name that is taken is read back.
    ReadBackTaken,
    /// After a lost answer the object is read back.
    ReadBackUnclear,
    // Forgetting.
    /// Forgetting is a tombstone.
    Tombstone,
    /// A forgotten snapshot goes only when its round is decided.
    DeleteAfterDoom,
    // Rounds.
    /// Candidates are not doomed before the round has begun.
    ReadRootsAgain,
    /// Sessions are read before snapshots.
    SessionsBeforeSnapshots,
    /// Tombstones are read before sessions and snapshots.
    TombstonesFirst,
    /// The index is read anew after the roots.
    IndexAfterRoots,
    /// Whoever comes second goes on with the doomed of the first.
    AgreeOnDoomed,
    /// A session is fenced off by the object that would commit it.
    FenceByAbort,
    /// A round is begun only when the last one is decided.
    OneUndecided,
    /// A round is begun only when no pack is left of the one before the last.
    NoneLeft,
    /// A prune that begins deletes doomed packs once more.
    DeleteOnceMore,
    /// Only the two last rounds count for whoever goes on with one.
    TwoRoundsCount,
    /// Only the two last rounds count for what is doomed when a round is decided. Open.
    TwoRoundsCountInDecision,
    /// A prune that has written `d` looks whether its round is over.
    LookAfterDoom,
    /// A pack that no segment names is doomed only after its header was read.
    ReadHeader,
    /// Of several copies among the candidates one stays.
    KeepLastCopy,
    /// A prune does not go on while a snapshot is listed that is not found and not forgotten. Open.
    MissListed,
    /// A candidate that cannot be relied on stays if what is needed of it lies nowhere else. Open.
    KeepOnlyCopy,
    /// A prune does not go on while a seen snapshot is neither listed nor forgotten.
    MissSeen,
    /// A node of a snapshot that cannot be read stops the prune.
    StopAtUnread,
    /// Of a session without decision only so much is passed over: that it has none is looked at
    /// anew. Open.
    AskPendingAgain,
    /// Of a session without decision only what is gone for certain is passed over.
    PassOverGone,
    /// A record that cannot be read is read again, and stops a writer if its round has begun.
    ReadBegun,
    /// The generations are listed again after they were read, until nothing has changed. Open.
    StableGenerations,
    /// Headers of packs that no segment names are read before a chunk is called lost. Open.
    AdoptBeforeLost,
    /// The index is listed again until nothing has changed. Open.
    StableIndex,
}

/// Some of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules(u64);

impl Rules {
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);

    /// All but some.
    pub fn without(off: &[Rule]) -> Self {
        Self(off.iter().fold(u64::MAX, |bits, rule| bits & !(1 << *rule as u32)))
    }

    /// Whether a rule is kept.
    pub fn keep(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u32) != 0
    }
}
