//! Fills packs with frames.
//!
//! Two packs of each class are open at a time and a frame goes into either at random, so that the
//! order of packs does not tell the lengths of frames.

use crossbeam_channel::{Receiver, Sender};

use super::failure::Failure;
use super::flow::FrameMessage;
use super::memory::MemoryPlan;
use crate::format::FrameKind;
use crate::repo::session::Session;
use crate::seal::frame::SealedFrame;
use crate::seal::pack::{FinishedPack, PackBuilder};

/// Runs until [`FrameMessage::End`], or until every sender is gone.
pub(super) fn stage(
    session: &Session<'_>,
    pack_len: u32,
    plan: &MemoryPlan,
    failure: &Failure,
    frames: &Receiver<FrameMessage>,
    packs: &Sender<FinishedPack>,
) {
    let new_class = || Class { open: Vec::new(), open_max: plan.open_per_class, pack_len };
    let mut classes = [new_class(), new_class()];
    let send = |pack| {
        // Whoever takes packs ends only when this stage has.
        packs.send(pack).expect("packs are taken until the last one");
    };
    for message in frames {
        match message {
            FrameMessage::Frame(_) if failure.is_raised() => {}
            FrameMessage::Frame(frame) => {
                let class = match frame.record.kind {
                    FrameKind::Data => &mut classes[0],
                    FrameKind::Metadata => &mut classes[1],
                };
                if let Some(full) = class.push(session, frame) {
                    send(full);
                }
            }
            FrameMessage::End => break,
        }
    }
    if failure.is_raised() {
        return;
    }
    for class in classes {
        class.finish(send);
    }
}

/// The open packs of one class.
struct Class {
    open: Vec<PackBuilder>,
    open_max: usize,
    pack_len: u32,
}

impl Class {
    /// Adds a frame; gives back a pack that had no room for it.
    fn push(&mut self, session: &Session<'_>, frame: SealedFrame) -> Option<FinishedPack> {
        let new = || PackBuilder::new(session.key().clone(), self.pack_len);
        if self.open.len() < self.open_max {
            let mut builder = new();
            builder.push(frame);
            self.open.push(builder);
            return None;
        }
        let chosen = usize::from(crate::base::random::<1>()[0]) % self.open.len();
        if self.open[chosen].fits(&frame) {
            self.open[chosen].push(frame);
            return None;
        }
        let mut builder = new();
        builder.push(frame);
        Some(std::mem::replace(&mut self.open[chosen], builder).finish(true))
    }

    /// Merges what is left, so that at most one pack is shorter than the others.
    fn finish(self, mut send: impl FnMut(FinishedPack)) {
        let mut last: Option<PackBuilder> = None;
        for builder in self.open {
            last = Some(match last {
                None => builder,
                Some(mut earlier) => match earlier.absorb(builder) {
                    None => earlier,
                    Some(rest) => {
                        send(earlier.finish(true));
                        rest
                    }
                },
            });
        }
        if let Some(builder) = last {
            send(builder.finish(false));
        }
    }
}
