//! Forgetting, as `repo::tombstones` does it.

use crate::client::{Client, Created, Ended, Run};
use crate::roots::{Snapshots, read_tombed};
use crate::rules::Rule;
use crate::set::Set;
use crate::world::{Name, Value};

/// Forgets a snapshot or two.
pub async fn forget(client: &Client) -> Run<()> {
    let kept = Snapshots::read(client).await.kept;
    let mut chosen = Set::EMPTY;
    for _ in 0..2 {
        let one = kept.any(&mut client.world().random);
        one.into_iter().for_each(|id| chosen.insert(id));
    }
    client.world().truth.forgotten |= chosen;
    if chosen.is_empty() {
        return Ok(());
    }
    if !client.keeps(Rule::Tombstone) {
        for id in chosen.iter() {
            client.delete(Name::Snapshot(id)).await?;
        }
        return Ok(());
    }
    for id in chosen.iter() {
        // Somebody forgot this one as well: the list may have the name of another.
        if client.create(Name::Tombstone(id), Value::Sessions(chosen)).await? == Created::Ours {
            return Ok(());
        }
    }
    match (chosen - read_tombed(client).await).is_empty() {
        true => Ok(()),
        false => Err(Ended::Failed),
    }
}
