//! Fills packs with frames.
//!
//! Two packs of each class are open at a time and a frame goes into either at random, so that the
//! order of packs does not tell the lengths of frames.

use std::ops::ControlFlow;

use crossbeam_channel::{Receiver, Sender};

use super::failure::Failure;
use super::flow::{FrameMessage, NumberedPack, Receipt};
use super::memory::MemoryPlan;
use crate::format::FrameKind;
use crate::repo::session::Session;
use crate::seal::frame::SealedFrame;
use crate::seal::pack::{FinishedPack, PackBuilder};

/// The stage with its open packs.
pub(super) struct Packing<'a> {
    session: &'a Session<'a>,
    failure: &'a Failure,
    classes: [Class; 2],
    /// Packs that were sent, which is the number of the next one.
    sent: u64,
    packs: Sender<NumberedPack>,
    receipts: Sender<Receipt>,
}

impl<'a> Packing<'a> {
    /// Sends full packs to `packs`, and to `receipts` what is captured so far.
    pub(super) fn new(
        session: &'a Session<'a>,
        pack_len: u32,
        plan: &MemoryPlan,
        failure: &'a Failure,
        packs: Sender<NumberedPack>,
        receipts: Sender<Receipt>,
    ) -> Self {
        let new_class = || Class { open: Vec::new(), open_max: plan.open_per_class, pack_len };
        Self { session, failure, classes: [new_class(), new_class()], sent: 0, packs, receipts }
    }

    /// Runs until [`FrameMessage::End`], or until every sender is gone.
    pub(super) fn run(mut self, frames: &Receiver<FrameMessage>) {
        for message in frames {
            if self.take(message).is_break() {
                return;
            }
        }
        self.close();
    }

    /// Takes a message in; breaks after the last one.
    pub(super) fn take(&mut self, message: FrameMessage) -> ControlFlow<()> {
        match message {
            FrameMessage::End => {
                self.close();
                return ControlFlow::Break(());
            }
            _ if self.failure.is_raised() => {}
            FrameMessage::Frame(frame) => {
                let class = match frame.record.kind {
                    FrameKind::Data => &mut self.classes[0],
                    FrameKind::Metadata => &mut self.classes[1],
                };
                if let Some(full) = class.push(self.session, frame) {
                    self.send(full);
                }
            }
            FrameMessage::SoFar(snapshot) => {
                self.close();
                // Whoever takes receipts ends only when this stage has.
                let receipt = Receipt::SoFar(self.sent, snapshot);
                self.receipts.send(receipt).expect("receipts are taken until the last one");
            }
        }
        ControlFlow::Continue(())
    }

    /// Sends what is left in open packs.
    fn close(&mut self) {
        if self.failure.is_raised() {
            return;
        }
        let left: Vec<FinishedPack> = self.classes.iter_mut().flat_map(Class::close).collect();
        left.into_iter().for_each(|pack| self.send(pack));
    }

    fn send(&mut self, pack: FinishedPack) {
        // Whoever takes packs ends only when this stage has.
        self.packs.send((self.sent, pack)).expect("packs are taken until the last one");
        self.sent += 1;
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

    /// Merges what is open, so that at most one pack is shorter than the others.
    fn close(&mut self) -> Vec<FinishedPack> {
        let mut closed = Vec::new();
        let mut last: Option<PackBuilder> = None;
        for builder in self.open.drain(..) {
            last = Some(match last {
                None => builder,
                Some(mut earlier) => match earlier.absorb(builder) {
                    None => earlier,
                    Some(rest) => {
                        closed.push(earlier.finish(true));
                        rest
                    }
                },
            });
        }
        closed.extend(last.map(|builder| builder.finish(false)));
        closed
    }
}
