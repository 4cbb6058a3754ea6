//! Restores, chunk by chunk, as `ops::restore` makes them.

use crate::client::{Client, Run};
use crate::index::{Index, Reader};
use crate::roots::Snapshots;
use crate::world::{Body, Chunks, contents, each, node};

/// Restores a snapshot, if there is one. That it could not is a violation, unless it was forgotten.
pub async fn restore(client: &Client) -> Run<()> {
    let kept = Snapshots::read(client).await.kept;
    let Some(id) = kept.any(&mut client.world().random) else { return Ok(()) };
    let segments_lost = client.world().counts.lost_segments;
    let mut index = Index::default();
    index.refresh(client).await?;
    let lost = first_lost(client, &mut index, client.body(id)).await?;
    let mut world = client.world();
    world.counts.restored += 1;
    // Headers of packs are read once in a run: one that comes after knows of what was lost
    // meanwhile.
    if world.counts.lost_segments > segments_lost {
        return Ok(());
    }
    let excuse = world.excuse(id);
    if let Some(chunk) = lost.filter(|chunk| chunk & excuse == 0) {
        world.fail(format!("restore of snapshot {id}: chunk {} is lost", chunk.trailing_zeros()));
    }
    Ok(())
}

async fn first_lost(client: &Client, index: &mut Index, body: Body) -> Run<Option<Chunks>> {
    let mut reader = Reader::default();
    for directory in body.directories {
        for chunk in each(node(directory)).chain(each(contents(directory))) {
            if !reader.read(client, index, chunk).await? {
                return Ok(Some(chunk));
            }
        }
    }
    Ok(None)
}
