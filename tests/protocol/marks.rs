//! What is needed, as `ops::prune::mark` finds it.

use crate::client::{Client, Run};
use crate::index::{CloseLook, Index, Reader, Whereabouts};
use crate::roots::Live;
use crate::rules::Rule;
use crate::world::{Body, Chunks, Name, Value, contents, node};

/// Times that packs are looked at again because one was deleted meanwhile.
const LOOK_COUNT_MAX: usize = 10;

/// What roots lead to.
#[derive(Default)]
pub struct Marks {
    pub needed: Chunks,
    /// Nodes that were read.
    walked: Chunks,
    followed: Vec<Live>,
    /// The session at whose root that ended because nobody can tell what it needs.
    pub unknown: Option<u16>,
    reader: Reader,
}

impl Marks {
    /// Adds what roots lead to that were not followed yet; whether all was read that must be. What
    /// is gone of a session of which nothing was decided is passed over.
    pub async fn follow(
        &mut self,
        client: &Client,
        index: &mut Index,
        roots: &[(Live, Body)],
    ) -> Run<bool> {
        let mut close_look = None;
        for (live, body) in roots {
            if self.followed.contains(live) {
                continue;
            }
            for directory in body.directories {
                self.needed |= node(directory);
                if self.walked & node(directory) != 0 {
                    continue;
                }
                match self.read(client, index, live, node(directory), &mut close_look).await? {
                    Found::Read => {
                        self.walked |= node(directory);
                        self.needed |= contents(directory);
                    }
                    Found::Gone if !must_be_read(client, live).await => {}
                    found => {
                        if let (Found::Unknown, Live::Pending(id)) = (found, live) {
                            self.unknown = Some(*id);
                        }
                        client.tell(|| format!("cannot read what {live:?} needs"));
                        return Ok(false);
                    }
                }
            }
            self.followed.push(*live);
        }
        Ok(true)
    }

    async fn read(
        &mut self,
        client: &Client,
        index: &mut Index,
        live: &Live,
        chunk: Chunks,
        close_look: &mut Option<CloseLook>,
    ) -> Run<Found> {
        let mut whereabouts = Whereabouts::There;
        for attempt in 0..LOOK_COUNT_MAX {
            if self.reader.read(client, index, chunk).await? {
                return Ok(Found::Read);
            }
            if matches!(live, Live::Snapshot(_)) || !client.keeps(Rule::PassOverGone) {
                return Ok(Found::Gone);
            }
            match close_look {
                Some(_) if attempt == 0 => continue,
                Some(look) => match look.whereabouts(client, index, chunk) {
                    Whereabouts::Gone => return Ok(Found::Gone),
                    other => whereabouts = other,
                },
                None => {}
            }
            // It was deleted after that look, or something keeps it from being read.
            *close_look = Some(index.look_closely(client).await?);
        }
        if whereabouts == Whereabouts::Unknown {
            return Ok(Found::Unknown);
        }
        Ok(Found::Unread)
    }
}

/// What came of reading a node.
enum Found {
    Read,
    /// No pack has it, or it is of a snapshot, where that does not matter.
    Gone,
    /// A pack has it.
    Unread,
    /// Nobody can tell whether it is gone.
    Unknown,
}

/// Whether nothing may be missing: of a snapshot, also of one that was committed meanwhile.
async fn must_be_read(client: &Client, live: &Live) -> bool {
    match live {
        Live::Snapshot(_) => client.keeps(Rule::StopAtUnread),
        Live::Pending(id) => {
            client.keeps(Rule::AskPendingAgain)
                && client.get(Name::Snapshot(*id)).await == Some(Value::Snapshot)
        }
    }
}
