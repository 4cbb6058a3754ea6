//! Sets of small numbers.

use std::ops::{BitAnd, BitOr, BitOrAssign, Sub, SubAssign};

use crate::random::Random;

/// Numbers below this can be members.
pub const CAPACITY: usize = 256;

const WORD_COUNT: usize = CAPACITY / 64;

/// A set of numbers.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Set([u64; WORD_COUNT]);

impl Set {
    /// Without members.
    pub const EMPTY: Self = Self([0; WORD_COUNT]);

    /// With one member.
    pub fn of(member: u16) -> Self {
        let mut set = Self::EMPTY;
        set.insert(member);
        set
    }

    /// With about half of all numbers.
    pub fn half(random: &mut Random) -> Self {
        Self(std::array::from_fn(|_| random.next()))
    }

    /// With about half of all numbers, three neighbors together.
    pub fn half_in_threes(random: &mut Random) -> Self {
        let half = Self::half(random);
        let mut threes = Self::EMPTY;
        for three in (0..CAPACITY as u16 / 3).filter(|three| half.has(*three)) {
            (0..3).for_each(|of| threes.insert(three * 3 + of));
        }
        threes
    }

    pub fn insert(&mut self, member: u16) {
        self.0[usize::from(member) / 64] |= 1 << (member % 64);
    }

    pub fn remove(&mut self, member: u16) {
        self.0[usize::from(member) / 64] &= !(1 << (member % 64));
    }

    pub fn has(&self, member: u16) -> bool {
        self.0[usize::from(member) / 64] & (1 << (member % 64)) != 0
    }

    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORD_COUNT]
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is a common member.
    pub fn meets(&self, other: &Self) -> bool {
        !(*self & *other).is_empty()
    }

    /// The members in ascending order.
    pub fn iter(self) -> Members {
        Members(self)
    }

    /// One of the members, any of them as likely.
    pub fn any(self, random: &mut Random) -> Option<u16> {
        match self.len() {
            0 => None,
            len => self.iter().nth(random.below(len)),
        }
    }

    fn zip(self, other: Self, word: impl Fn(u64, u64) -> u64) -> Self {
        Self(std::array::from_fn(|at| word(self.0[at], other.0[at])))
    }
}

impl BitOr for Set {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.zip(other, |a, b| a | b)
    }
}

impl BitAnd for Set {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        self.zip(other, |a, b| a & b)
    }
}

impl Sub for Set {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a & !b)
    }
}

impl BitOrAssign for Set {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl SubAssign for Set {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let members: Vec<String> = self.iter().map(|member| member.to_string()).collect();
        write!(f, "{{{}}}", members.join(" "))
    }
}

/// Goes through the members of a set.
pub struct Members(Set);

impl Iterator for Members {
    type Item = u16;
    fn next(&mut self) -> Option<u16> {
        let at = self.0.0.iter().position(|word| *word != 0)?;
        let bit = self.0.0[at].trailing_zeros();
        self.0.0[at] &= self.0.0[at] - 1;
        Some(at as u16 * 64 + bit as u16)
    }
}
