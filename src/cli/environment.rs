//! The environment of this process, read once.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use zeroize::Zeroize;

use crate::backend::Location;
use crate::base::{Error, ErrorKind, Result, SecretText};

/// A variable for the manual.
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
}

/// Every variable of ours.
pub(crate) const VARIABLES: &[Variable] = &[
    Variable { name: "PARADOS_REPOSITORY", meaning: "as `--repo`" },
    Variable { name: "PARADOS_REPOSITORY_FILE", meaning: "as `--repository-file`" },
    Variable { name: "PARADOS_PASSWORD_FILE", meaning: "as `--password-file`" },
    Variable { name: "PARADOS_PASSWORD_COMMAND", meaning: "as `--password-command`" },
    Variable {
        name: "PARADOS_PASSWORD",
        meaning: "the passphrase itself; other processes of the same user may be able to read it, \
                  a file is safer",
    },
    Variable { name: "PARADOS_KEY_FILE", meaning: "as `--key-file`" },
    Variable { name: "PARADOS_CACHE_DIR", meaning: "as `--cache-dir`" },
    Variable { name: "PARADOS_MAX_MEMORY", meaning: "as `--max-memory`" },
    Variable {
        name: "PARADOS_HOST",
        meaning: "as `--host`: what `backup` records; what `snapshots`, `ls` and `restore` look for",
    },
    Variable { name: "PARADOS_COMPRESSION", meaning: "as `backup --compression`" },
    Variable { name: "PARADOS_PACK_SIZE", meaning: "as `--pack-size` of `init` and `backup`" },
    Variable { name: "PARADOS_READ_CONCURRENCY", meaning: "as `backup --read-concurrency`" },
    Variable {
        name: "PARADOS_LOG",
        meaning: "write a log: `error`, `warn`, `info`, `debug` or `trace`, or for one part only, as \
                  in `parados::backend=debug`",
    },
    Variable {
        name: "PARADOS_LOG_FILE",
        meaning: "append the log to this file instead of writing it to standard error",
    },
    Variable { name: "NO_COLOR", meaning: "as `--no-color`" },
    Variable {
        name: "CLICOLOR_FORCE, CLICOLOR",
        meaning: "colors also without a terminal, unless it is `0`; no colors if it is `0`",
    },
    Variable {
        name: "AWS_*, AZURE_*, GOOGLE_*",
        meaning: "credentials and settings of the providers; restic's `AZURE_ACCOUNT_NAME`, \
                  `AZURE_ACCOUNT_KEY` and `AZURE_ACCOUNT_SAS` are understood",
    },
    Variable {
        name: "XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_CACHE_HOME, HOME",
        meaning: "where the configuration file, the default repository and the cache are",
    },
];

/// Restic's names, and what the providers' client calls them.
const RESTIC_NAMES: &[(&str, &str)] = &[
    ("azure_account_name", "azure_storage_account_name"),
    ("azure_account_key", "azure_storage_account_key"),
    ("azure_account_sas", "azure_storage_sas_key"),
    ("aws_default_region", "aws_region"),
];

/// Pieces of names of variables whose values are secrets.
const SECRET_WORDS: &[&str] =
    &["PASSWORD", "PASSPHRASE", "SECRET", "TOKEN", "KEY", "SAS", "CONNECTION_STRING", "CREDENTIAL"];

/// The variables. Never printed: some are secrets.
pub(crate) struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Reads the environment of this process.
    pub(crate) fn read() -> Self {
        Self(std::env::vars_os().collect())
    }

    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// A variable that is set to something.
    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// A variable as text.
    ///
    /// # Errors
    /// When it is not UTF-8; the value is not repeated.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.to_str() {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(Error::new(ErrorKind::Usage, format!("the value of {name} is no UTF-8"))),
        }
    }

    /// As [`Environment::text`], for what may be or contain a secret.
    ///
    /// # Errors
    /// As [`Environment::text`].
    pub(crate) fn secret_text(&self, name: &str) -> Result<Option<SecretText>> {
        Ok(self.text(name)?.map(SecretText::from))
    }

    /// A variable as a path.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// The directory that an XDG variable names, or its default below the home directory.
    /// Relative ones are ignored, as the specification wants.
    pub(crate) fn xdg(&self, name: &str, default: &str) -> Option<PathBuf> {
        let named = self.path(name).filter(|path| path.is_absolute());
        named.or_else(|| {
            let home = self.path("HOME").filter(|path| path.is_absolute());
            home.map(|home| home.join(default))
        })
    }

    /// Credentials and settings of providers, by lower-case name.
    pub(crate) fn backend_settings(&self) -> BTreeMap<String, SecretText> {
        let mut settings = BTreeMap::new();
        for (name, value) in &self.0 {
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
            let name = name.to_ascii_lowercase();
            if ["aws_", "azure_", "google_"].iter().any(|prefix| name.starts_with(prefix)) {
                settings.insert(name, value.into());
            }
        }
        for (restic, ours) in RESTIC_NAMES {
            if let Some(value) = settings.remove(*restic) {
                settings.entry((*ours).to_owned()).or_insert(value);
            }
        }
        settings
    }

    /// What a child process may see: everything but secrets.
    pub(crate) fn for_children(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.0.iter().filter(|(name, value)| {
            let has_secret = *name == "PARADOS_REPOSITORY" && may_hold_secrets(value);
            !has_secret && !is_secret(&name.to_string_lossy())
        })
    }
}

impl Drop for Environment {
    /// Wipes all of it: secrets of others are secrets as well.
    fn drop(&mut self) {
        for value in std::mem::take(&mut self.0).into_values() {
            value.into_encoded_bytes().zeroize();
        }
    }
}

/// Whether a location holds what opens it, as in `s3:http://key:secret@host/bucket`. One that makes
/// no sense may.
fn may_hold_secrets(location: &OsStr) -> bool {
    let location = location.to_str().and_then(|text| Location::parse(text).ok());
    location.is_none_or(|location| location.has_secrets())
}

/// Whether a variable is one of ours, or of a provider, and holds a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let known = ["PARADOS_", "AWS_", "AZURE_", "GOOGLE_"].iter().any(|p| name.starts_with(p));
    // A path is no secret.
    let names_file = name.ends_with("_FILE");
    known && !names_file && SECRET_WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_see_no_secret() {
        let environment = Environment::of(&[
            ("PATH", "/bin"),
            ("PARADOS_PASSWORD", "x"),
            ("PARADOS_PASSWORD_COMMAND", "x"),
            ("PARADOS_KEY_FILE", "/key"),
            ("AWS_ACCESS_KEY_ID", "x"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("AWS_PROFILE", "default"),
            ("AZURE_ACCOUNT_SAS", "x"),
            ("AZURE_STORAGE_CONNECTION_STRING", "x"),
            ("GOOGLE_APPLICATION_CREDENTIALS_JSON", "x"),
            ("TOKEN", "somebody else's"),
        ]);
        let names: Vec<_> =
            environment.for_children().map(|(name, _)| name.to_string_lossy()).collect();
        assert_eq!(names, ["AWS_PROFILE", "PARADOS_KEY_FILE", "PATH", "TOKEN"]);
        for (location, is_shown) in [
            ("s3:http://key:secret@host/bucket", false),
            ("s3://bucket?secret_access_key=x", false),
            ("s3://bucket?password=x", false),
            ("s3://bucket/a?region=r", true),
            ("/srv/b@home", true),
        ] {
            let environment = Environment::of(&[("PARADOS_REPOSITORY", location)]);
            assert_eq!(environment.for_children().count() == 1, is_shown, "{location}");
        }
    }

    #[test]
    fn names_of_restic_are_understood() {
        let environment = Environment::of(&[
            ("AZURE_ACCOUNT_NAME", "n"),
            ("AZURE_STORAGE_ACCOUNT_KEY", "k"),
            ("AZURE_ACCOUNT_KEY", "other"),
            ("HOME", "/home/u"),
        ]);
        let settings = environment.backend_settings();
        assert_eq!(settings.get("azure_storage_account_name").map(SecretText::expose), Some("n"));
        assert_eq!(settings.get("azure_storage_account_key").map(SecretText::expose), Some("k"));
        assert_eq!(settings.len(), 2);
        let data = environment.xdg("XDG_DATA_HOME", ".local/share");
        assert_eq!(data, Some(PathBuf::from("/home/u/.local/share")));
    }
}
