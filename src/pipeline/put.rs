//! Stores finished packs.

use crossbeam_channel::Sender;

use super::failure::Failure;
use super::flow::{NumberedPack, Receipt};
use crate::base::Progress;
use crate::repo::session::Session;

/// Stores each pack that comes; what comes after a failure is dropped.
pub(super) fn stage(
    session: &Session<'_>,
    progress: &Progress,
    failure: &Failure,
    packs: impl Iterator<Item = NumberedPack>,
    stored: &Sender<Receipt>,
) {
    for (number, pack) in packs {
        if failure.is_raised() {
            continue;
        }
        match session.put_pack(pack) {
            Ok(receipt) => {
                progress.stored_packs.add(1);
                progress.stored_bytes.add(receipt.get().len);
                // The segment stage ends only when this one has.
                let receipt = Receipt::Pack(number, receipt);
                stored.send(receipt).expect("receipts are taken until the last one");
            }
            Err(error) => failure.raise(error),
        }
    }
}
