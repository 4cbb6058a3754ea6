//! Text that nobody may see, wiped when it is dropped.

use std::fmt;

use serde::Deserialize;
use zeroize::Zeroizing;

/// A credential, or text that may contain one. Its copies are wiped as well.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// The text, for whoever needs it to open something.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    /// Takes the text over without a copy.
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::Marker;

    #[test]
    fn a_secret_is_not_shown_and_leaves_nothing_behind() {
        let marker = Marker::new();
        let secret = SecretText::from(marker.text().as_str());
        let copies = vec![secret.clone(), secret];
        assert!(!format!("{copies:?}").contains(copies[0].expose()));
        assert!(marker.is_in_memory());
        drop(copies);
        assert!(!marker.is_in_memory());
    }

    #[test]
    fn text_that_is_not_wiped_is_found() {
        let marker = Marker::new();
        let mut cleared = marker.text().as_str().to_owned();
        // Kept, so that nobody else is given its place.
        cleared.clear();
        assert!(marker.is_in_memory());
        drop(cleared);
    }
}
