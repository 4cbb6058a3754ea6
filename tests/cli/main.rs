//! What a person sees: transcripts, exit codes, JSON, the manual.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod compare;
mod damage;
mod dice;
mod disks;
mod errors;
mod filling;
mod first_run;
mod forgetting;
mod hostile;
mod journey;
mod in_place;
mod json;
mod killed;
mod levels;
mod listing;
mod losing;
mod manual;
mod meddling;
#[path = "../support/moto.rs"]
mod moto;
mod page_cache;
mod plant;
mod random;
mod removing;
mod repairing;
mod restoring;
mod resuming;
mod scripting;
mod secrets;
mod selection;
mod signals;
mod special;
mod spoiling;
mod storm;
mod streams;
mod tempest;
mod together;
mod torture;
mod world;
mod writers;
