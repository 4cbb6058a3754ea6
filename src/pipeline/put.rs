//! Stores finished packs.

use crossbeam_channel::{Receiver, Sender};

use super::failure::Failure;
use crate::base::Progress;
use crate::repo::session::{Pack, Session, Stored};
use crate::seal::pack::FinishedPack;

/// Runs until every sender of packs is gone.
pub(super) fn stage(
    session: &Session<'_>,
    progress: &Progress,
    failure: &Failure,
    packs: &Receiver<FinishedPack>,
    stored: &Sender<Stored<Pack>>,
) {
    for pack in packs {
        if failure.is_raised() {
            continue;
        }
        match session.put_pack(pack) {
            Ok(receipt) => {
                progress.stored_packs.add(1);
                progress.stored_bytes.add(receipt.get().len);
                // The segment stage ends only when this one has.
                stored.send(receipt).expect("receipts are taken until the last one");
            }
            Err(error) => failure.raise(error),
        }
    }
}
