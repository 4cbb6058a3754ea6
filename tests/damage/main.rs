//! What a hostile backend or writer does costs no more than what it is about.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod actions;
mod bombs;
mod flood;
mod forge;
mod junk;
mod keys;
mod matrix;
mod numbers;
mod packs;
mod parting;
mod power;
mod repair;
mod trees;
mod world;
