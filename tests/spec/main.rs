//! The format document is true.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cbor;
mod check;
mod damage;
mod document;
mod golden;
mod python;
mod replay;
mod roundtrip;
mod vectors;
