//! Draws random bytes.

use super::{Error, ErrorKind, Result};

/// Draws an array from the operating system's generator.
///
/// # Panics
/// Panics when the generator fails: nothing that follows could be trusted.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[cfg(test)]
    if super::simulated::fill(&mut bytes) {
        return bytes;
    }
    getrandom::fill(&mut bytes).expect("the operating system's random generator works");
    bytes
}

/// Finds out whether the operating system's generator works, before anything is begun.
///
/// # Errors
/// When it does not: nothing can be sealed then, and nothing be named.
pub fn check_random() -> Result<()> {
    getrandom::fill(&mut [0; 32]).map_err(|error| {
        let message = "the operating system gives no random numbers";
        Error::new(ErrorKind::Unsupported, message)
            .because(error.to_string())
            .hint("Without them nothing can be sealed; repair this system first.")
    })
}
