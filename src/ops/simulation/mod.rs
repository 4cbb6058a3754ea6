//! The protocol tried out in the code itself: actors whose every request is a turn of one schedule.
//!
//! A seed decides who goes on, which requests fail and how, who is killed, who sleeps for months,
//! whose clock is wrong. Everything else is the program as it is: it runs on threads of which one at
//! a time has the baton, its stages one after the other, its cache in memory. The oracle sees each
//! object appear and disappear, and knows at once when something is lost.

mod actor;
mod baton;
mod content;
mod oracle;
mod place;
mod schedule;
mod store;
mod tests;
mod world;

use crate::seal::keys::Key;
use crate::seal::slot::Secret;

fn secret() -> Secret {
    Secret::KeyFile(Key::new([7; 32]))
}
