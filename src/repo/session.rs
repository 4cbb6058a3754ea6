//! One run of a writer: packs, then index segments, then its root, then another look, then the
//! snapshot. The types allow no other order.
//!
//! ```compile_fail
//! # use parados::repo::session::{Session, Stored, Root};
//! # fn f(session: &Session, root: Stored<Root>) {
//! session.commit(root); // A root that was not looked at again cannot become a snapshot.
//! # }
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::adopt::read_header;
use super::generations::GenerationView;
use super::parallel::ask_all;
use super::snapshots::{Committed, read_decision};
use super::{Repository, damaged, is_missing};
use crate::backend::{BackendError, Once, create_once, create_verified};
use crate::base::rules::{Rule, keeps};
use crate::base::simulated::pause;
use crate::base::{Error, ErrorKind, PackId, Result, SegmentId, SessionId};
use crate::format::pack::Header;
use crate::format::segment::{Fence, SegmentEntry, SegmentFrame, SegmentPack};
use crate::format::snapshot::{self, Decision, Snapshot};
use crate::format::{DecodeError, ObjectName};
use crate::index;
use crate::seal::keys::SessionKey;
use crate::seal::pack::FinishedPack;
use crate::seal::segment;

/// Names under which a pack is tried to be stored, each in one request. A place may be busy for as long
/// as the pauses between them take, a minute.
const PUT_COUNT_MAX: u32 = 11;
/// Pause after the first attempt; each one is twice as long as the one before, up to the longest.
const PUT_PAUSE: Duration = Duration::from_millis(100);
const PUT_PAUSE_MAX: Duration = Duration::from_secs(15);

/// Proof that an object reached the backend.
#[derive(Debug)]
pub struct Stored<T>(T);

impl<T> Stored<T> {
    /// What was stored.
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// A stored pack.
#[derive(Debug)]
pub struct Pack {
    /// Its name.
    pub id: PackId,
    /// Its length in bytes.
    pub len: u64,
    /// What it holds.
    pub header: Header,
}

/// A stored index segment, which stands for its packs.
#[derive(Debug)]
pub struct Segment {
    /// Its name.
    pub id: SegmentId,
    /// Its length in bytes.
    pub len: u64,
    /// Everything but the entries.
    pub fence: Fence,
    /// Its entries, sorted.
    pub entries: Vec<SegmentEntry>,
}

/// A stored session root.
#[derive(Debug)]
pub struct Root {
    snapshot: Snapshot,
}

/// Proof that prunes were looked at after the root was stored.
#[derive(Debug)]
pub struct Rechecked<T>(T);

/// What another look found.
#[derive(Debug)]
pub enum Recheck {
    /// Nothing that this session relies on is endangered.
    Sound(Box<Rechecked<Root>>),
    /// Packs that it may rely on are about to be deleted: what they hold must be stored again.
    Endangered,
}

/// One run of a writer.
pub struct Session<'a> {
    repository: &'a Repository,
    id: SessionId,
    key: Arc<SessionKey>,
    first_look: GenerationView,
    segment_sequence: AtomicU32,
    root_number: AtomicU32,
}

impl<'a> Session<'a> {
    /// Starts a session: looks at the generations before anything is listed.
    ///
    /// # Errors
    /// When the generations cannot be read.
    pub fn start(repository: &'a Repository) -> Result<Self> {
        let first_look = GenerationView::read(repository)?;
        let id = SessionId::random();
        let config = repository.config();
        let key =
            repository.keyring().new_session(id, config.suite, config.epoch).map_err(|error| {
                Error::new(ErrorKind::Damaged, "the config names an unknown epoch").because(error)
            })?;
        Ok(Self {
            repository,
            id,
            key,
            first_look,
            segment_sequence: AtomicU32::new(0),
            root_number: AtomicU32::new(0),
        })
    }

    /// Its id, which will be that of the snapshot.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The key that seals its frames.
    pub fn key(&self) -> &Arc<SessionKey> {
        &self.key
    }

    /// What prunes had decided when it started.
    pub fn first_look(&self) -> &GenerationView {
        &self.first_look
    }

    /// Records of prunes that could not be read when it started.
    pub fn take_problems(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.first_look.problems)
    }

    /// Stores a pack. Without an answer it gets another name: a second request under the same one
    /// could bring back, rounds later, what a prune has deleted, and others would rely on it.
    ///
    /// # Errors
    /// Names the pack.
    pub fn put_pack(&self, mut pack: FinishedPack) -> Result<Stored<Pack>> {
        let mut why = None;
        for attempt in 0..PUT_COUNT_MAX {
            if attempt > 0 {
                pause(PUT_PAUSE.saturating_mul(1 << (attempt - 1)).min(PUT_PAUSE_MAX));
                pack = pack.renamed(&self.key);
            }
            let name = ObjectName::pack(pack.id);
            match create_once(&**self.repository.backend(), &name, &pack.sealed)? {
                Once::Stored => {
                    let len = pack.sealed.len();
                    return Ok(Stored(Pack { id: pack.id, len, header: pack.header }));
                }
                Once::InDoubt(error) => why = error,
            }
        }
        let object = format!("pack {}", ObjectName::pack(pack.id));
        let message = format!("could not store {object} in {PUT_COUNT_MAX} attempts");
        let mut error = Error::new(ErrorKind::Offline, message)
            .about(object)
            .hint("Run it again when the location can be reached; what was stored is reused.");
        if let Some(why) = why {
            error = error.because(Error::from(why));
        }
        Err(error)
    }

    /// Takes over packs that are listed and that no segment names, by what they say themselves; one
    /// that cannot be read is an error in its place.
    pub fn adopt(&self, listed: &[(PackId, u64)]) -> Vec<Result<Stored<Pack>>> {
        let adopt = |(id, len): &(PackId, u64)| {
            let header = read_header(self.repository, *id, *len)?;
            Ok(Stored(Pack { id: *id, len: *len, header }))
        };
        ask_all(listed, &adopt)
    }

    /// Stores an index segment over packs that are stored.
    ///
    /// # Errors
    /// Names the segment.
    pub fn put_segment(&self, packs: Vec<Stored<Pack>>) -> Result<Stored<Segment>> {
        let sequence = self.segment_sequence.fetch_add(1, Ordering::Relaxed);
        let (fence, entries) = gather(packs.into_iter().map(|pack| pack.0));
        let config = self.repository.config();
        let (id, sealed, fence) = segment::seal(
            self.repository.keyring(),
            config.suite,
            config.epoch,
            (self.id, sequence),
            fence,
            &entries,
        );
        self.create(&ObjectName::index(self.id, sequence, id), &sealed)?;
        Ok(Stored(Segment { id, len: sealed.len(), fence, entries }))
    }

    /// Stores one segment in the place of others, without what they say of packs in `gone`, and reads
    /// it back: what it holds may be all that is known of those packs soon. Of what they replaced in
    /// their turn it goes on to say what is in `named`.
    ///
    /// `None` when another prune has replaced the new segment already: then those that it replaces
    /// are left to others.
    ///
    /// # Errors
    /// Names the segment.
    pub fn put_merged(
        &self,
        merged: Vec<(SegmentId, index::Segment)>,
        gone: &HashSet<PackId>,
        named: &HashSet<SegmentId>,
    ) -> Result<Option<Segment>> {
        let (fence, entries) = merge(merged, gone, named);
        let config = self.repository.config();
        let keyring = self.repository.keyring();
        let sequence = self.segment_sequence.fetch_add(1, Ordering::Relaxed);
        let origin = (self.id, sequence);
        let (id, sealed, fence) =
            segment::seal(keyring, config.suite, config.epoch, origin, fence, &entries);
        let name = ObjectName::index(self.id, sequence, id);
        self.create(&name, &sealed)?;
        match self.repository.backend().get(&name) {
            Ok(stored) if stored == sealed => {}
            Ok(_) => return Err(damaged(&name, DecodeError::Id)),
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        Ok(Some(Segment { id, len: sealed.len(), fence, entries }))
    }

    /// Stores a pending snapshot that relies on the segments of this session.
    ///
    /// # Errors
    /// Names the root.
    pub fn put_root(
        &self,
        mut snapshot: Snapshot,
        segments: &[Stored<SegmentId>],
    ) -> Result<Stored<Root>> {
        snapshot.segments = segments.iter().map(|segment| segment.0).collect();
        let root = snapshot::Root { is_final: true, snapshot };
        if keeps(Rule::PendingRoot) {
            self.create_root(&root)?;
        }
        Ok(Stored(Root { snapshot: root.snapshot }))
    }

    /// Stores what is captured so far, in the segments of this session and before: it can be listed and
    /// restored if nothing comes after it. Nobody looks again whether a prune has endangered what it
    /// needs, so that it is never committed.
    ///
    /// # Errors
    /// Names the root. [`ErrorKind::Busy`] when somebody fenced the session off.
    pub fn put_interrupted(
        &self,
        mut snapshot: Snapshot,
        segments: &[Stored<SegmentId>],
    ) -> Result<()> {
        match self.repository.backend().stat(&ObjectName::snapshot(self.id)) {
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
            // It need not go on to the end to hear that.
            Ok(_) => return Err(self.fenced_off()),
        }
        snapshot.segments = segments.iter().map(|segment| segment.0).collect();
        self.create_root(&snapshot::Root { is_final: false, snapshot })
    }

    fn fenced_off(&self) -> Error {
        let message = format!("session {} was fenced off before it ended", self.id.short());
        Error::new(ErrorKind::Busy, message)
            .hint("Run the backup again; it reuses what was stored.")
    }

    fn create_root(&self, root: &snapshot::Root) -> Result<()> {
        let number = self.root_number.fetch_add(1, Ordering::Relaxed);
        let name = ObjectName::session(self.id, number);
        self.create(&name, &self.repository.seal(&name, &root.encode()))
    }

    /// Looks at the generations again, after the root is visible to every prune that begins now.
    /// `relies_on` says whether this session may rely on a pack that it did not store.
    ///
    /// # Errors
    /// When the generations cannot be read.
    pub fn recheck(
        &self,
        root: Stored<Root>,
        relies_on: &dyn Fn(&PackId) -> bool,
    ) -> Result<Recheck> {
        let now = GenerationView::read(self.repository)?;
        let endangered = now
            .endangered
            .iter()
            .any(|pack| !self.first_look.endangered.contains(pack) && relies_on(pack));
        // Records between the two looks may have come and gone, and with them packs.
        let gap = now.decided > self.first_look.decided.saturating_add(1) && keeps(Rule::Gap);
        if (endangered || gap) && keeps(Rule::SecondLook) {
            return Ok(Recheck::Endangered);
        }
        Ok(Recheck::Sound(Box::new(Rechecked(root.0))))
    }

    /// Creates the snapshot. The first to create this object decides the session.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] when somebody fenced the session off.
    pub fn commit(&self, root: Box<Rechecked<Root>>) -> Result<Committed> {
        let name = ObjectName::snapshot(self.id);
        let decision = Decision::Snapshot(root.0.snapshot);
        let sealed = self.repository.seal(&name, &decision.encode());
        let created = create_verified(&**self.repository.backend(), &name, &sealed);
        let Decision::Snapshot(snapshot) = decision else { unreachable!("it was made above") };
        match created {
            Ok(_) => Ok(Committed { id: self.id, snapshot }),
            // Sealed twice, the same snapshot differs in its salt; what it says decides.
            Err(BackendError::Conflict { .. }) => match read_decision(self.repository, &name)? {
                Some(Decision::Snapshot(found)) if found == snapshot => {
                    Ok(Committed { id: self.id, snapshot })
                }
                _ => Err(self.fenced_off()),
            },
            Err(error) => Err(error.into()),
        }
    }

    fn create(&self, name: &ObjectName, sealed: &crate::seal::Sealed) -> Result<()> {
        create_verified(&**self.repository.backend(), name, sealed)?;
        Ok(())
    }
}

impl Stored<Segment> {
    /// Folds a segment into its receipt and gives back what the local index needs.
    pub fn split(self) -> (Stored<SegmentId>, Segment) {
        (Stored(self.0.id), self.0)
    }
}

/// What segments say together of all packs but those in `gone`.
fn merge(
    merged: Vec<(SegmentId, index::Segment)>,
    gone: &HashSet<PackId>,
    named: &HashSet<SegmentId>,
) -> (Fence, Vec<SegmentEntry>) {
    let mut fence = Fence::default();
    let mut entries = Vec::new();
    let mut numbers: HashMap<PackId, u32> = HashMap::new();
    for (id, segment) in merged {
        fence.supersedes.push(id);
        fence.supersedes.extend(segment.fence.supersedes.iter().filter(|id| named.contains(id)));
        // Places of this segment's packs in the new one; a pack that is there already, or goes, has
        // none.
        let mut places = Vec::with_capacity(segment.fence.packs.len());
        for mut pack in segment.fence.packs {
            if gone.contains(&pack.id) || numbers.contains_key(&pack.id) {
                places.push(None);
                continue;
            }
            for frame in &mut pack.frames {
                let origin = &segment.fence.origins[frame.origin as usize];
                let known = fence.origins.iter().position(|known| known == origin);
                frame.origin = known.unwrap_or_else(|| {
                    fence.origins.push(origin.clone());
                    fence.origins.len() - 1
                }) as u32;
            }
            let number = fence.packs.len() as u32;
            numbers.insert(pack.id, number);
            places.push(Some(number));
            fence.packs.push(pack);
        }
        let renumbered = segment.entries.into_iter().filter_map(|entry| {
            let pack = (*places.get(entry.pack as usize)?)?;
            Some(SegmentEntry { pack, ..entry })
        });
        entries.extend(renumbered);
    }
    fence.supersedes.sort_unstable();
    fence.supersedes.dedup();
    entries.sort_unstable();
    (fence, entries)
}

/// The fence and sorted entries over packs.
pub fn gather(packs: impl Iterator<Item = Pack>) -> (Fence, Vec<SegmentEntry>) {
    let mut fence = Fence::default();
    let mut entries = Vec::new();
    for (pack_index, pack) in packs.enumerate() {
        let origins: Vec<u32> = pack
            .header
            .origins
            .into_iter()
            .map(|origin| {
                let known = fence.origins.iter().position(|o| *o == origin);
                known.unwrap_or_else(|| {
                    fence.origins.push(origin);
                    fence.origins.len() - 1
                }) as u32
            })
            .collect();
        let mut frames = Vec::with_capacity(pack.header.frames.len());
        for (frame_index, frame) in pack.header.frames.into_iter().enumerate() {
            let mut offset = 0;
            for chunk in &frame.chunks {
                entries.push(SegmentEntry {
                    id: chunk.id,
                    pack: pack_index as u32,
                    frame: frame_index as u32,
                    offset,
                    len: chunk.len,
                });
                offset += chunk.len;
            }
            frames.push(SegmentFrame {
                sealed_len: frame.sealed_len,
                raw_len: frame.raw_len,
                codec: frame.codec,
                kind: frame.kind,
                origin: origins[frame.origin as usize],
            });
        }
        fence.packs.push(SegmentPack { id: pack.id, len: pack.len, frames });
    }
    entries.sort_unstable();
    (fence, entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ChunkId;
    use crate::format::pack::Origin;
    use crate::format::{Codec, FrameKind, Suite};

    fn pack_id(number: u8) -> PackId {
        PackId::new([number; 32])
    }

    /// A segment of some packs, each with one frame that a session of its own sealed, of two chunks.
    fn segment(packs: &[u8], supersedes: &[u8]) -> index::Segment {
        let mut fence = Fence::default();
        let mut entries = Vec::new();
        for (place, number) in packs.iter().enumerate() {
            fence.origins.push(Origin {
                session: SessionId::new([*number; 32]),
                suite: Suite::ChaCha20Poly1305,
                epoch: 0,
                wrap: 1,
                wrapped: Vec::new(),
                commitment: [*number; 32],
            });
            let (kind, codec) = (FrameKind::Data, Codec::Stored);
            let origin = place as u32;
            let frames = vec![SegmentFrame { sealed_len: 100, raw_len: 20, codec, kind, origin }];
            fence.packs.push(SegmentPack { id: pack_id(*number), len: 512, frames });
            for part in 0..2u8 {
                let mut id = [*number; 32];
                id[0] = part;
                let (pack, frame) = (place as u32, 0);
                let offset = 10 * u32::from(part);
                entries.push(SegmentEntry { id: ChunkId::new(id), pack, frame, offset, len: 10 });
            }
        }
        fence.supersedes = supersedes.iter().map(|n| SegmentId::new([*n; 32])).collect();
        entries.sort_unstable();
        index::Segment { fence, entries }
    }

    #[test]
    fn merged_segments_hold_all_of_the_old_ones_but_what_goes() {
        let name = |number: u8| SegmentId::new([number; 32]);
        let old = vec![
            (name(101), segment(&[1, 2, 3], &[90, 91])),
            // It describes a pack that the first one has as well.
            (name(100), segment(&[3, 4], &[])),
        ];
        let gone = HashSet::from([pack_id(2)]);
        let (fence, entries) = merge(old, &gone, &HashSet::from([name(91)]));
        assert_eq!(fence.supersedes, [name(91), name(100), name(101)]);
        let packs: Vec<PackId> = fence.packs.iter().map(|pack| pack.id).collect();
        assert_eq!(packs, [1, 3, 4].map(pack_id));
        assert_eq!(entries.len(), 6);
        assert!(entries.windows(2).all(|pair| pair[0] < pair[1]));
        for entry in &entries {
            // Everything about a pack has its number, wherever it stood before.
            let number = entry.id.as_bytes()[31];
            let pack = &fence.packs[entry.pack as usize];
            assert_eq!(pack.id, pack_id(number));
            let origin = &fence.origins[pack.frames[0].origin as usize];
            assert_eq!(origin.session, SessionId::new([number; 32]));
        }
    }
}
