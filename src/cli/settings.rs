//! What is meant: arguments over environment over configuration files.

use std::fs;
use std::path::{Path, PathBuf};

use super::args::Global;
use super::configuration::{self, Configuration};
use super::environment::Environment;
use super::secret::SecretSource;
use super::secret_bytes::read_secret;
use crate::backend::{Limits, Location};
use crate::base::size;
use crate::base::{Error, ErrorKind, Result, SecretText};

/// Memory that is used when nothing is said.
const MAX_MEMORY: u64 = 512 * size::MIB;
/// Longest file that names a location, in bytes.
const LOCATION_LEN_MAX: u64 = 64 << 10;

/// Where the cache is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CachePlace {
    /// Nowhere.
    Nowhere,
    /// Below this directory.
    Below(PathBuf),
}

/// What is meant.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The repository; absent stands for the embedded default.
    pub(crate) location: Option<Location>,
    /// What opens it; absent stands for asking, or for the key file of the embedded default.
    pub(crate) secret: Option<SecretSource>,
    pub(crate) cache: CachePlace,
    pub(crate) max_memory: u64,
    /// What must not be exceeded in a second.
    pub(crate) limits: Limits,
}

impl Settings {
    /// Settles what is meant.
    ///
    /// # Errors
    /// Names the option, variable or file that makes no sense.
    pub(crate) fn new(global: &Global, environment: &Environment) -> Result<Self> {
        let files = configuration::read(environment)?;
        Ok(Self {
            location: location(global, environment, &files)?,
            secret: secret(global, environment, &files)?,
            cache: cache(global, environment, &files),
            max_memory: max_memory(global, environment, &files)?,
            limits: global.limits.limits(),
        })
    }

    /// Whether what opens the repository is asked for, on standard input where there is no
    /// terminal.
    pub(crate) fn asks_on_stdin(&self) -> bool {
        match &self.secret {
            None => self.location.is_some(),
            Some(SecretSource::Descriptor(number)) => *number == 0,
            Some(SecretSource::RecoveryCode | SecretSource::Prompt) => true,
            Some(_) => false,
        }
    }
}

/// One place that may name a repository.
enum Named {
    Text(SecretText),
    File(PathBuf),
}

fn location(
    global: &Global,
    environment: &Environment,
    files: &[Configuration],
) -> Result<Option<Location>> {
    let typed = (global.repo.clone(), global.repository_file.clone());
    let variables = (
        environment.secret_text("PARADOS_REPOSITORY")?,
        environment.path("PARADOS_REPOSITORY_FILE"),
    );
    let configured = files.iter().map(|file| {
        let whose = file.path.display().to_string();
        (whose, (file.repository.clone(), file.repository_file.clone()))
    });
    let levels = [("the arguments".to_owned(), typed), ("the environment".to_owned(), variables)];
    for (whose, (text, file)) in levels.into_iter().chain(configured) {
        let named = [text.map(Named::Text), file.map(Named::File)];
        match one_of(&whose, "where the repository is", named.into_iter().flatten().collect())? {
            None => {}
            Some(Named::Text(text)) => return Ok(Some(Location::parse(text.expose())?)),
            Some(Named::File(path)) => return Ok(Some(location_in(&path)?)),
        }
    }
    Ok(None)
}

fn location_in(path: &Path) -> Result<Location> {
    let cannot = || format!("could not read the location in {}", path.display());
    let file = fs::File::open(path).map_err(|error| Error::io(cannot(), error))?;
    let bytes = read_secret(file, LOCATION_LEN_MAX).map_err(|error| Error::io(cannot(), error))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        Error::new(ErrorKind::Usage, format!("the location in {} is no UTF-8", path.display()))
    })?;
    Ok(Location::parse(text.trim())?)
}

fn secret(
    global: &Global,
    environment: &Environment,
    files: &[Configuration],
) -> Result<Option<SecretSource>> {
    let typed = [
        global.password_fd.map(SecretSource::Descriptor),
        global.password_file.clone().map(SecretSource::File),
        global.password_command.clone().map(SecretSource::Command),
        global.key_file.clone().map(SecretSource::KeyFile),
        global.recovery_code.then_some(SecretSource::RecoveryCode),
    ];
    let variables = [
        environment.path("PARADOS_PASSWORD_FILE").map(SecretSource::File),
        environment.secret_text("PARADOS_PASSWORD_COMMAND")?.map(SecretSource::Command),
        environment.get("PARADOS_PASSWORD").map(|_| SecretSource::Variable),
        environment.path("PARADOS_KEY_FILE").map(SecretSource::KeyFile),
    ];
    let what = "what opens the repository";
    // The arguments were compared by clap.
    if let Some(source) = typed.into_iter().flatten().next() {
        return Ok(Some(source));
    }
    let variables = variables.into_iter().flatten().collect();
    if let Some(source) = one_of("the environment", what, variables)? {
        return Ok(Some(source));
    }
    for file in files {
        let named = [
            file.password_file.clone().map(SecretSource::File),
            file.password_command.clone().map(SecretSource::Command),
            file.key_file.clone().map(SecretSource::KeyFile),
        ];
        let whose = file.path.display().to_string();
        if let Some(source) = one_of(&whose, what, named.into_iter().flatten().collect())? {
            return Ok(Some(source));
        }
    }
    Ok(None)
}

/// The only one of `named`.
fn one_of<T>(whose: &str, what: &str, mut named: Vec<T>) -> Result<Option<T>> {
    if named.len() > 1 {
        let verb = if whose.starts_with("the ") { "of " } else { "" };
        let message = format!("two settings {verb}{whose} say {what}");
        return Err(Error::new(ErrorKind::Usage, message).hint("Keep one of them."));
    }
    Ok(named.pop())
}

fn cache(global: &Global, environment: &Environment, files: &[Configuration]) -> CachePlace {
    if global.no_cache {
        return CachePlace::Nowhere;
    }
    let named = global
        .cache_dir
        .clone()
        .or_else(|| environment.path("PARADOS_CACHE_DIR"))
        .or_else(|| files.iter().find_map(|file| file.cache_dir.clone()))
        .or_else(|| default_cache(environment));
    named.map_or(CachePlace::Nowhere, CachePlace::Below)
}

/// The directory of caches when nothing is said; nothing else is kept in it.
pub(crate) fn default_cache(environment: &Environment) -> Option<PathBuf> {
    environment.xdg("XDG_CACHE_HOME", ".cache").map(|dir| dir.join("parados"))
}

fn max_memory(global: &Global, environment: &Environment, files: &[Configuration]) -> Result<u64> {
    if let Some(bytes) = global.max_memory {
        return Ok(bytes);
    }
    let named = match environment.text("PARADOS_MAX_MEMORY")? {
        Some(text) => Some(("PARADOS_MAX_MEMORY".to_owned(), text)),
        None => files.iter().find_map(|file| {
            let whose = format!("max-memory in {}", file.path.display());
            file.max_memory.clone().map(|text| (whose, text))
        }),
    };
    let Some((whose, text)) = named else { return Ok(MAX_MEMORY) };
    size::parse(&text)
        .map_err(|why| Error::new(ErrorKind::Usage, format!("could not use {whose}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::Marker;

    fn settings(global: Global, pairs: &[(&str, &str)]) -> Result<Settings> {
        Settings::new(&global, &Environment::of(pairs))
    }

    fn repository(settings: &Settings) -> String {
        settings.location.as_ref().map(Location::to_string).unwrap_or_default()
    }

    #[test]
    fn arguments_win_over_the_environment_and_that_over_files() {
        let home = tempfile::tempdir().expect("a directory");
        let config = home.path().join(".config/parados");
        fs::create_dir_all(&config).expect("it is made");
        let text = "repository = '/file'\nkey-file = 'key'\nmax-memory = '256M'\n";
        fs::write(config.join("config.toml"), text).expect("it is written");
        let home = home.path().to_str().expect("it is UTF-8");
        let file = settings(Global::default(), &[("HOME", home)]).expect("it makes sense");
        assert_eq!(repository(&file), "/file");
        assert_eq!(file.secret, Some(SecretSource::KeyFile(config.join("key"))));
        assert_eq!(file.max_memory, 256 << 20);
        let pairs = [("HOME", home), ("PARADOS_REPOSITORY", "/env"), ("PARADOS_PASSWORD", "x")];
        let env = settings(Global::default(), &pairs).expect("it makes sense");
        assert_eq!(repository(&env), "/env");
        assert_eq!(env.secret, Some(SecretSource::Variable));
        let typed = Global { repo: Some("/typed".into()), ..Global::default() };
        assert_eq!(repository(&settings(typed, &pairs).expect("it makes sense")), "/typed");
    }

    #[test]
    fn what_opens_something_leaves_nothing_behind() {
        let markers: [Marker; 6] = std::array::from_fn(|_| Marker::new());
        let [typed, located, provided, configured, command, filed] = &markers;
        let in_location =
            |marker: &Marker| SecretText::from(["s3://A:", &marker.text(), "@b"].concat());
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join(".config/parados");
        fs::create_dir_all(&directory).expect("it is made");
        let write = |parts: &[&str]| {
            let text = SecretText::from(parts.concat());
            fs::write(directory.join("config.toml"), text.expose()).expect("it is written");
        };
        let (place, words) = (in_location(configured), command.text());
        let between = "'\npassword-command = \"echo ";
        write(&["repository = '", place.expose(), between, words.as_str(), "\"\n"]);
        drop((place, words));
        let file = home.path().join("location");
        fs::write(&file, in_location(filed).expose()).expect("it is written");

        let home = home.path().to_str().expect("it is UTF-8");
        let environment = Environment::of(&[
            ("HOME", home),
            ("PARADOS_REPOSITORY", in_location(located).expose()),
            ("AWS_SECRET_ACCESS_KEY", &provided.text()),
        ]);
        let of_home = Environment::of(&[("HOME", home)]);
        let repo = Global { repo: Some(in_location(typed)), ..Global::default() };
        let named = Global { repository_file: Some(file), ..Global::default() };
        let settings: Vec<Settings> = [
            (&repo, &environment),
            (&Global::default(), &environment),
            (&named, &environment),
            (&Global::default(), &of_home),
        ]
        .iter()
        .map(|(global, environment)| Settings::new(global, environment).expect("it makes sense"))
        .collect();
        let provider = environment.backend_settings();
        let shown = format!("{settings:?} {provider:?} {repo:?}");
        assert!(markers.iter().all(|marker| !shown.contains(marker.text().as_str())));
        assert_eq!(Marker::in_memory(markers.each_ref()), [true; 6]);
        drop((environment, of_home, repo, settings, provider));
        assert_eq!(Marker::in_memory(markers.each_ref()), [false; 6]);
    }

    #[test]
    fn what_is_said_twice_or_not_understood_is_refused() {
        let twice = [("PARADOS_PASSWORD_FILE", "/a"), ("PARADOS_KEY_FILE", "/b")];
        let error = settings(Global::default(), &twice).expect_err("it is ambiguous");
        assert_eq!(error.message, "two settings of the environment say what opens the repository");
        let error = settings(Global::default(), &[("PARADOS_MAX_MEMORY", "much")]).unwrap_err();
        assert!(error.message.starts_with("could not use PARADOS_MAX_MEMORY"), "{error}");
        let home = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(home.path().join("parados")).expect("it is made");
        fs::write(home.path().join("parados/config.toml"), "\nrepo = 1\n").expect("written");
        let home = home.path().to_str().expect("it is UTF-8");
        let error = settings(Global::default(), &[("XDG_CONFIG_HOME", home)]).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("See line 2."));
    }
}
