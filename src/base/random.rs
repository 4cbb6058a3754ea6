//! Draws random bytes.

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
