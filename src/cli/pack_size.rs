//! The length of full packs, as a person gives it.

use super::environment::Environment;
use crate::base::size::{self, MIB, human};
use crate::base::{Error, ErrorKind, Result};
use crate::format::config::{PACK_LEN_MAX, PACK_LEN_MIN};

const VARIABLE: &str = "PARADOS_PACK_SIZE";

/// A size as in restic, where it is a number of MiB, or with a unit.
pub(crate) fn parse_pack_size(text: &str) -> Result<u64, String> {
    match text.trim().parse::<u64>() {
        Ok(mib) => Ok(mib.saturating_mul(MIB)),
        Err(_) => size::parse(text),
    }
}

/// The length in bytes that is typed, or that the environment has; nothing when neither says one.
///
/// # Errors
/// When it is none, or no pack may have it.
pub(crate) fn pack_len(typed: Option<u64>, environment: &Environment) -> Result<Option<u32>> {
    let (len, source) = match (typed, environment.text(VARIABLE)?) {
        (Some(len), _) => (len, "--pack-size"),
        (None, None) => return Ok(None),
        (None, Some(text)) => {
            let len = parse_pack_size(&text).map_err(|why| {
                Error::new(ErrorKind::Usage, format!("could not use {VARIABLE}: {why}"))
            })?;
            (len, VARIABLE)
        }
    };
    let is_allowed = |len: &u32| (PACK_LEN_MIN..=PACK_LEN_MAX).contains(len);
    u32::try_from(len).ok().filter(is_allowed).map(Some).ok_or_else(|| {
        let (least, most) = (human(PACK_LEN_MIN.into()), human(PACK_LEN_MAX.into()));
        Error::new(ErrorKind::Usage, format!("could not use the pack size of {source}"))
            .hint(format!("It is between {least} and {most}."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_in_mib_and_what_is_typed_comes_first() {
        let environment = Environment::of(&[(VARIABLE, "8")]);
        assert_eq!(pack_len(None, &environment).unwrap(), Some(8 << 20));
        let typed = parse_pack_size("64K").unwrap();
        assert_eq!(pack_len(Some(typed), &environment).unwrap(), Some(64 << 10));
        assert_eq!(pack_len(None, &Environment::of(&[])).unwrap(), None);
        for text in ["129", "1K", "many"] {
            let error = pack_len(None, &Environment::of(&[(VARIABLE, text)])).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Usage, "{text}");
        }
    }
}
