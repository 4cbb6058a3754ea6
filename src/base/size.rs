//! Sizes in bytes as people write and read them.

/// One kibibyte.
pub const KIB: u64 = 1024;
/// One mebibyte.
pub const MIB: u64 = 1024 * KIB;
/// One gibibyte.
pub const GIB: u64 = 1024 * MIB;

/// Prints a size with a binary unit and at most four significant digits, as in `1.234 GiB`.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < KIB {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if value < 10.0 {
        3
    } else if value < 100.0 {
        2
    } else {
        1
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// Parses a size such as `4096`, `64K`, `64KiB` or `1.5g`; units are powers of 1024, as in restic.
///
/// # Errors
/// Says what was not understood.
pub fn parse(text: &str) -> Result<u64, String> {
    let refuse = || {
        format!("{text:?} is not a size; write bytes, or a number with K, M, G or T, as in 512M")
    };
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let factor = match unit.trim().to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b')
    {
        "" => 1,
        "k" => KIB,
        "m" => MIB,
        "g" => GIB,
        "t" => GIB * 1024,
        _ => return Err(refuse()),
    };
    if number.contains('.') {
        let value: f64 = number.parse().map_err(|_| refuse())?;
        let bytes = value * factor as f64;
        if bytes >= u64::MAX as f64 {
            return Err(refuse());
        }
        return Ok(bytes as u64);
    }
    let value: u64 = number.parse().map_err(|_| refuse())?;
    value.checked_mul(factor).ok_or_else(refuse)
}

/// The Padmé size of `len`: at most 12 % more, and only O(log log len) distinct values.
///
/// Algorithm of Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication
/// with PURBs" (PoPETs 2019), section 4.
pub fn padme(len: u64) -> u64 {
    if len < 2 {
        return len;
    }
    let exponent = u64::from(len.ilog2());
    let bits = u64::from(exponent.max(1).ilog2()) + 1;
    let mask = (1u64 << exponent.saturating_sub(bits)) - 1;
    (len + mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_as_people_write_them() {
        assert_eq!(parse("512M"), Ok(512 * MIB));
        assert_eq!(parse("64 KiB"), Ok(64 * KIB));
        assert_eq!(parse("1.5g"), Ok(1536 * MIB));
        assert_eq!(parse("12"), Ok(12));
        assert!(parse("M").is_err());
        assert!(parse("12X").is_err());
        assert!(parse("99999999999999T").is_err());
    }

    #[test]
    fn sizes_are_printed_with_four_digits() {
        assert_eq!(human(1023), "1023 B");
        assert_eq!(human(1536), "1.500 KiB");
        assert_eq!(human(GIB - 1), "1.000 GiB");
        assert_eq!(human(123 * MIB), "123.0 MiB");
    }

    #[test]
    fn padme_never_shrinks_and_wastes_at_most_an_eighth() {
        for len in (0..100_000u64).chain([MIB + 1, 16 * MIB - 5, GIB + 77]) {
            let padded = padme(len);
            assert!(padded >= len && padded - len <= len / 8, "{len} -> {padded}");
            assert_eq!(padme(padded), padded);
        }
    }
}
