//! The permanent number of each way to split.

/// How a file was split; recorded with it, so that the next run splits it alike.
///
/// Readers do not need it: chunk lists say where chunks lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Profile {
    /// Where the content says so, for everything that is not recognized.
    General = 0,
    /// At multiples of one length, for recognized database files.
    Pages = 1,
    /// At the starts of tensors, then on a grid, for recognized files of model weights.
    Tensors = 2,
}

impl Profile {
    /// Every profile, in the order of its number.
    pub const ALL: [Self; 3] = [Self::General, Self::Pages, Self::Tensors];

    /// The profile with this number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| *profile as u8 == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_permanent() {
        assert_eq!(Profile::ALL.map(|profile| profile as u8), [0, 1, 2]);
        for profile in Profile::ALL {
            assert_eq!(Profile::from_u8(profile as u8), Some(profile));
        }
        assert_eq!(Profile::from_u8(3), None);
    }
}
