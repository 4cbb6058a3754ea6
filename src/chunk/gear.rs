//! The secret table that the rolling hash reads.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Length of the chunker key in bytes.
pub const KEY_LEN: usize = 32;

/// Entries of the table: one for each value of a byte.
pub const GEAR_LEN: usize = 256;

/// What the key is applied to. A later table would say 2 here.
const TABLE_INPUT: &[u8] = b"parados gear table 1";

/// 256 secret 64-bit numbers: the first 2,048 bytes of the keyed BLAKE3 output of a fixed input,
/// little endian.
///
/// The whole table depends on the key. XOR of a short seed onto a public table, which the crate
/// of the reference offers, falls to four known boundaries. Even so, the table only hinders those
/// who merely look: whoever sees exact chunk lengths of chosen data can compute it. That they see
/// none is the business of packs.
///
/// Lives on the heap, so that moves leave no copies behind, and is wiped when dropped.
pub struct GearTable(Box<Tables>);

#[derive(Zeroize, ZeroizeOnDrop)]
struct Tables {
    plain: [u64; GEAR_LEN],
    /// Each entry shifted left by one. Only the reference, which rolls two bytes at a time,
    /// reads it.
    shifted: [u64; GEAR_LEN],
}

impl GearTable {
    /// Computes the table of a chunker key.
    pub fn new(chunker_key: &[u8; KEY_LEN]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(chunker_key);
        hasher.update(TABLE_INPUT);
        let mut output = hasher.finalize_xof();
        hasher.zeroize();
        let mut bytes = Zeroizing::new(vec![0; GEAR_LEN * size_of::<u64>()]);
        output.fill(&mut bytes);
        output.zeroize();

        let mut tables = Box::new(Tables { plain: [0; GEAR_LEN], shifted: [0; GEAR_LEN] });
        let (entries, _) = bytes.as_chunks();
        for (i, entry) in entries.iter().enumerate() {
            tables.plain[i] = u64::from_le_bytes(*entry);
            tables.shifted[i] = tables.plain[i] << 1;
        }
        Self(tables)
    }

    /// The table.
    pub(super) fn plain(&self) -> &[u64; GEAR_LEN] {
        &self.0.plain
    }

    /// The table with each entry shifted left by one.
    pub(super) fn shifted(&self) -> &[u64; GEAR_LEN] {
        &self.0.shifted
    }
}

/// Says nothing about the entries.
impl fmt::Debug for GearTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GearTable(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::testdata;

    #[test]
    fn the_table_is_the_one_of_the_format() {
        let table = GearTable::new(&testdata::KEY);
        let bytes: Vec<u8> = table.plain().iter().flat_map(|entry| entry.to_le_bytes()).collect();
        assert_eq!(table.plain()[0], 0xba85_2839_1b88_e6c3);
        assert_eq!(table.plain()[1], 0x8bb5_297b_5827_f534);
        assert_eq!(table.plain()[255], 0x5a9f_e5be_ba3d_331d);
        assert_eq!(
            blake3::hash(&bytes).to_hex().as_str(),
            "533d95e6ebf8a16c40eb12f80c04054e1c49350f7761212c7c94a7f977acb420"
        );
    }

    #[test]
    fn the_shifted_table_is_twice_the_table() {
        let table = GearTable::new(&testdata::KEY);
        for (plain, shifted) in table.plain().iter().zip(table.shifted()) {
            assert_eq!(plain.wrapping_mul(2), *shifted);
        }
    }

    #[test]
    fn the_whole_table_depends_on_the_key() {
        let mut other_key = testdata::KEY;
        other_key[31] ^= 1;
        let (one, other) = (GearTable::new(&testdata::KEY), GearTable::new(&other_key));
        assert!(one.plain().iter().zip(other.plain()).all(|(a, b)| a != b));
    }

    #[test]
    fn no_entry_is_printed() {
        assert_eq!(format!("{:?}", GearTable::new(&testdata::KEY)), "GearTable(secret)");
    }
}
