//! The configuration file.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::environment::Environment;
use crate::base::{Error, ErrorKind, Result, SecretText};

/// Longest configuration file in bytes.
const LEN_MAX: u64 = 1 << 20;

/// What a configuration file may say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Configuration {
    pub(crate) repository: Option<SecretText>,
    pub(crate) repository_file: Option<PathBuf>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) password_command: Option<SecretText>,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) cache_dir: Option<PathBuf>,
    pub(crate) max_memory: Option<String>,
    /// Where it was read.
    #[serde(skip)]
    pub(crate) path: PathBuf,
}

/// Reads the files there are: that of the user, then that of the system.
///
/// # Errors
/// Names the file and the line.
pub(crate) fn read(environment: &Environment) -> Result<Vec<Configuration>> {
    let user = environment.xdg("XDG_CONFIG_HOME", ".config").map(|d| d.join("parados/config.toml"));
    let mut found = Vec::new();
    for path in user.into_iter().chain([PathBuf::from("/etc/parados/config.toml")]) {
        found.extend(read_one(&path)?);
    }
    Ok(found)
}

fn read_one(path: &Path) -> Result<Option<Configuration>> {
    let shown = path.display();
    let cannot = || format!("could not read the configuration file {shown}");
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > LEN_MAX => {
            return Err(Error::new(ErrorKind::Usage, format!("{}: it is too long", cannot())));
        }
        Ok(_) => {}
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(Error::io(cannot(), error)),
    }
    let text =
        Zeroizing::new(fs::read_to_string(path).map_err(|error| Error::io(cannot(), error))?);
    let mut configuration: Configuration = toml::from_str(&text).map_err(|error| {
        Error::new(ErrorKind::Usage, format!("the configuration file {shown} makes no sense"))
            .because(error.message().to_owned())
            .hint(match error.span() {
                Some(span) => format!("See line {}.", line_of(&text, span.start)),
                None => "See `docs/cli.md` for what it may say.".to_owned(),
            })
    })?;
    configuration.path = path.to_owned();
    let directory = path.parent().unwrap_or(Path::new("/"));
    for named in [
        &mut configuration.repository_file,
        &mut configuration.password_file,
        &mut configuration.key_file,
        &mut configuration.cache_dir,
    ] {
        // The directory a command is started in must not decide which file this is.
        *named = named.take().map(|path| directory.join(path));
    }
    let repository = configuration.repository.take();
    configuration.repository =
        repository.map(|text| anchored(text.expose(), directory).map_or(text, SecretText::from));
    Ok(Some(configuration))
}

/// A location of which a relative path starts at `directory`; `None` where it is what it was.
fn anchored(text: &str, directory: &Path) -> Option<String> {
    let (scheme, path) = match text.strip_prefix("local:") {
        Some(path) => ("local:", path),
        // Whatever has a scheme is no path, or none that we know.
        None if text.split('/').next().is_some_and(|first| first.contains(':')) => return None,
        None => ("", text),
    };
    // A directory that is not UTF-8 cannot stand before text; the path is then what it was.
    let joined = directory.join(path);
    joined.to_str().filter(|_| !path.is_empty()).map(|joined| format!("{scheme}{joined}"))
}

fn is_absent(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Io;
    matches!(error.kind(), Io::NotFound | Io::NotADirectory)
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_relative_path_starts_at_the_directory_of_the_file() {
        for (text, expected) in [
            ("repo", "/etc/parados/repo"),
            ("../a:b/c", "/etc/parados/../a:b/c"),
            ("local:repo", "local:/etc/parados/repo"),
            ("/srv/repo", "/srv/repo"),
            ("local:/srv/repo", "local:/srv/repo"),
            ("s3:http://host/bucket", "s3:http://host/bucket"),
            ("s3://bucket/prefix", "s3://bucket/prefix"),
            ("azure:container:/prefix", "azure:container:/prefix"),
            ("sftp:host:path", "sftp:host:path"),
            ("", ""),
        ] {
            let anchored = anchored(text, Path::new("/etc/parados"));
            assert_eq!(anchored.as_deref().unwrap_or(text), expected);
        }
    }
}
