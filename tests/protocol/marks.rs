//! What is needed, as `ops::prune::mark` finds it.

use crate::client::{Client, Run};
use crate::index::{Index, Reader};
use crate::roots::Live;
use crate::rules::Rule;
use crate::world::{Body, Chunks, Name, Value, contents, node};

/// What roots lead to.
#[derive(Default)]
pub struct Marks {
    pub needed: Chunks,
    /// Nodes that were read.
    walked: Chunks,
    followed: Vec<Live>,
    reader: Reader,
}

impl Marks {
    /// Adds what roots lead to that were not followed yet; whether all was read that must be. What
    /// is missing of a session of which nothing was decided is passed over.
    pub async fn follow(
        &mut self,
        client: &Client,
        index: &mut Index,
        roots: &[(Live, Body)],
    ) -> Run<bool> {
        for (live, body) in roots {
            if self.followed.contains(live) {
                continue;
            }
            for directory in body.directories {
                self.needed |= node(directory);
                if self.walked & node(directory) != 0 {
                    continue;
                }
                if self.reader.read(client, index, node(directory)).await? {
                    self.walked |= node(directory);
                    self.needed |= contents(directory);
                } else if must_be_read(client, live).await {
                    client.tell(|| format!("cannot read what {live:?} needs"));
                    return Ok(false);
                }
            }
            self.followed.push(*live);
        }
        Ok(true)
    }
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
