//! Mends what is damaged, as far as what is left says what it was; one kind of object a file.

pub mod index;
pub mod packs;
pub mod snapshots;
