//! Numbers that a seed decides.

use crate::world::noise;

/// What is thrown again and again.
pub(crate) struct Dice {
    seed: u64,
    thrown: u64,
}

impl Dice {
    /// Those of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, thrown: 0 }
    }

    /// The next number, at least 0 and less than 1.
    pub(crate) fn throw(&mut self) -> f64 {
        self.thrown += 1;
        let bytes = noise(self.seed.wrapping_mul(1 << 32) ^ self.thrown, 4);
        f64::from(u32::from_le_bytes(bytes.try_into().unwrap())) / (f64::from(u32::MAX) + 1.0)
    }

    /// The next number below `count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        (self.throw() * count as f64) as usize
    }

    /// Whether something happens that does so many times of a hundred.
    pub(crate) fn falls(&mut self, percent: u32) -> bool {
        self.throw() * 100.0 < f64::from(percent)
    }
}
