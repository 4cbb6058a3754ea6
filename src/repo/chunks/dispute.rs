//! Finds out whom to believe when segments describe packs in several ways.

use std::collections::{HashMap, HashSet};

use super::{Chunks, Inner};
use crate::backend::Listed;
use crate::base::{Error, ErrorKind, PackId, Result, SegmentId, SessionId};
use crate::format::ObjectName;
use crate::format::name::Parsed;
use crate::index::Refused;
use crate::repo::trust::{self, Judge, Verdict};

/// Packs that segments describe in several ways.
#[derive(Default)]
pub(super) struct Dispute<'l> {
    packs: HashSet<PackId>,
    parties: Vec<Party<'l>>,
    /// A segment that is not to be believed is applied.
    holds_false: bool,
}

/// A segment that describes a disputed pack.
struct Party<'l> {
    name: &'l ObjectName,
    origin: (SessionId, u32),
    id: SegmentId,
    is_believed: bool,
}

impl Chunks {
    /// Finds what is disputed and who takes part. Only the index is asked.
    pub(super) fn find_dispute<'l>(
        inner: &Inner,
        listing: &'l [Listed],
        refusals: &[Refused],
    ) -> Result<Dispute<'l>> {
        let index = inner.cache.index();
        let mut dispute = Dispute::default();
        // One that was found to be false after it was applied.
        for id in &inner.distrusted {
            dispute.holds_false |= index.packs_of(id)?.is_some();
        }
        dispute.packs.extend(refusals.iter().filter_map(|refused| refused.contested));
        if dispute.packs.is_empty() {
            return Ok(dispute);
        }
        let mut numbers = HashSet::new();
        for pack in &dispute.packs {
            numbers.extend(index.pack_no(pack)?);
        }
        let refused: HashSet<SegmentId> = refusals.iter().map(|r| r.segment).collect();
        for object in listing {
            let Parsed::Index(session, sequence, id) = object.name.parsed() else { continue };
            let believed = index.packs_of(&id)?;
            let is_party = match &believed {
                Some(packs) => packs.iter().any(|no| numbers.contains(no)),
                None => refused.contains(&id),
            };
            if is_party {
                let (origin, is_believed) = ((session, sequence), believed.is_some());
                dispute.parties.push(Party { name: &object.name, origin, id, is_believed });
            }
        }
        Ok(dispute)
    }

    /// Finds out by the headers of packs who tells the truth, since the index believes the first
    /// one it meets. An error when the index was misled: it has to be filled again.
    pub(super) fn settle(&self, inner: &mut Inner, dispute: &Dispute<'_>) -> Result<Option<Error>> {
        let mut misled = dispute
            .holds_false
            .then(|| Error::new(ErrorKind::Damaged, "the local index holds a false segment"));
        if dispute.parties.is_empty() {
            return Ok(misled);
        }
        let packs = self.listed_packs()?.into_iter();
        let lens: HashMap<_, _> = packs.filter(|(id, _)| dispute.packs.contains(id)).collect();
        let judge = Judge::of_few(&self.repository, &lens);
        let distrusted_count = inner.distrusted.len();
        for party in &dispute.parties {
            // Whoever fills the index, or reads a pack, tells of what cannot be read.
            match judge.judge(party.name, party.origin)?.verdict {
                Verdict::False(_) => {
                    inner.distrusted.insert(party.id);
                    self.report_once(party.id, trust::false_segment(party.name));
                }
                // The index believed another one, which may be gone by now.
                Verdict::True if !party.is_believed => {
                    let message = format!(
                        "the local index contradicts index segment {}, which tells the truth",
                        party.id
                    );
                    misled = Some(Error::new(ErrorKind::Damaged, message));
                }
                Verdict::True | Verdict::Unknown => {}
            }
        }
        if inner.distrusted.len() > distrusted_count {
            let record = trust::distrusted_record(&inner.distrusted);
            inner.cache.meta_put(trust::DISTRUSTED_KEY, &record);
        }
        Ok(misled)
    }
}
