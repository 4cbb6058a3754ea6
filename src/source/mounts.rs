//! Numbers the file systems of one snapshot.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Gives each device the next number, from 0, in the order they are first asked for.
///
/// Device numbers differ from boot to boot; an entry that stored them would differ too. Whoever
/// wants the same numbers in the next run asks for the devices of the sources first, in their
/// order.
#[derive(Debug, Default)]
pub struct Mounts(Mutex<HashMap<u64, u32>>);

impl Mounts {
    /// The number of `device`, as in [`Child::device`](super::Child::device).
    pub fn ordinal(&self, device: u64) -> u32 {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = known.len() as u32;
        *known.entry(device).or_insert(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_numbered_as_they_are_met() {
        let mounts = Mounts::default();
        let met: Vec<u32> = [9, 7, 9, 8, 7].into_iter().map(|d| mounts.ordinal(d)).collect();
        assert_eq!(met, [0, 1, 0, 2, 1]);
    }
}
