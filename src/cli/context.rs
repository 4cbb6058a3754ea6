//! What a command works with.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::cache_home;
use super::embedded::{Embedded, Made};
use super::environment::Environment;
use super::identity;
use super::secret::{self, Purpose, SecretSource};
use super::settings::{self, CachePlace, Settings};
use super::signals::Signals;
use super::ui::progress::{Ticker, Watched};
use super::ui::{Ui, text};
use crate::backend::location::Place;
use crate::backend::{self, Backend, Location};
use crate::base::text::printable;
use crate::base::{Cancel, Error, ErrorKind, Problems, Progress, Result, SystemClock};
use crate::ops::Run;
use crate::repo::Repository;
use crate::seal::slot::Secret;

/// Times that a person may try.
const TRY_COUNT_MAX: u32 = 3;

/// What a command works with.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) environment: Environment,
    pub(crate) ui: Arc<Ui>,
    pub(crate) clock: SystemClock,
    /// Whether standard input holds what is to be backed up, so that no secret can come from it.
    pub(crate) stdin_is_data: Cell<bool>,
}

/// What a command wants of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing may be written, also no housekeeping: the medium may be read-only.
    Read,
    /// Objects may be created.
    Write,
}

/// An opened repository.
pub(crate) struct Opened {
    pub(crate) repository: Arc<Repository>,
    /// What opened it.
    pub(crate) secret: Secret,
    /// Directory of its cache.
    pub(crate) cache_dir: Option<PathBuf>,
}

/// What a run came to.
pub(crate) struct Ran<T> {
    pub(crate) report: T,
    pub(crate) progress: Arc<Progress>,
    pub(crate) problem_count: u64,
    pub(crate) elapsed: Duration,
}

/// How problems are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    /// Each as it happens, as something that happened during this.
    AtOnce(&'static str),
    /// Each as it happens, and no progress: lines of a listing come out all the time.
    InListing(&'static str),
    /// By the command, from the report.
    InReport,
}

/// Where the repository is, and what opens it if nothing else was said.
struct Goal {
    location: Location,
    secret: Option<SecretSource>,
    is_embedded: bool,
}

impl Context {
    pub(crate) fn new(settings: Settings, environment: Environment, ui: Arc<Ui>) -> Self {
        let stdin_is_data = Cell::new(false);
        Self { settings, environment, ui, clock: SystemClock, stdin_is_data }
    }

    /// How to open a backend.
    pub(crate) fn backend_options(&self, access: Access) -> backend::Options {
        backend::Options {
            writable: access == Access::Write,
            config: self.environment.backend_settings(),
            limits: self.settings.limits,
            clock: Arc::new(self.clock),
        }
    }

    /// Opens the repository that was named, or the embedded one.
    ///
    /// # Errors
    /// When there is none, or it does not open.
    pub(crate) fn open(&self, access: Access) -> Result<Opened> {
        let goal = self.goal()?;
        let options = self.backend_options(access);
        let backend = backend::open(&goal.location, &options)
            .map_err(|error| if goal.is_embedded { no_embedded(&goal) } else { error.into() })?;
        self.unlock(&backend, &goal)
    }

    /// As [`Context::open`] for writing, after making the embedded repository where nothing was
    /// named and there is none yet.
    ///
    /// # Errors
    /// As [`Context::open`].
    pub(crate) fn open_or_make(&self) -> Result<(Opened, Option<Made>)> {
        let mut made = None;
        if self.settings.location.is_none() {
            let embedded = Embedded::find(&self.environment)?;
            if !embedded.exists() {
                made = embedded.make(self)?;
            }
        }
        Ok((self.open(Access::Write)?, made))
    }

    fn goal(&self) -> Result<Goal> {
        let secret = self.settings.secret.clone();
        Ok(match &self.settings.location {
            Some(location) => Goal { location: location.clone(), secret, is_embedded: false },
            None => {
                let embedded = Embedded::find(&self.environment)?;
                Goal {
                    location: Location::local(&embedded.repository)?,
                    secret: Some(secret.unwrap_or(SecretSource::KeyFile(embedded.key_file))),
                    is_embedded: true,
                }
            }
        })
    }

    fn unlock(&self, backend: &Arc<dyn Backend>, goal: &Goal) -> Result<Opened> {
        for attempt in 1.. {
            let mut used = None;
            let mut may_try_again = false;
            let opened = Repository::open(Arc::clone(backend), &mut |kinds| {
                let source = match &goal.secret {
                    Some(source) => source.clone(),
                    None => secret::source_for(kinds)?,
                };
                may_try_again = secret::can_ask_again(&source);
                if self.stdin_is_data.get() {
                    secret::refuse_stdin(&source)?;
                }
                let secret = secret::load(&source, Purpose::Open, &self.environment, &self.ui)
                    .map_err(|error| lost_key(error, goal))?;
                used = Some(secret::duplicate(&secret));
                Ok(secret)
            });
            match opened {
                Ok(repository) => {
                    let repository = Arc::new(repository);
                    let secret = used.expect("a repository opens with a secret only");
                    let cache_dir = self.cache_dir(&repository);
                    self.tell_opened(&repository, cache_dir.as_deref())?;
                    return Ok(Opened { repository, secret, cache_dir });
                }
                Err(error)
                    if error.kind == ErrorKind::WrongKey
                        && may_try_again
                        && attempt < TRY_COUNT_MAX =>
                {
                    self.ui.warn(&error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        unreachable!("the last try returns")
    }

    /// Says what was opened to who wants to know more.
    fn tell_opened(&self, repository: &Repository, cache_dir: Option<&Path>) -> Result<()> {
        let location = repository.backend().location().to_string();
        let id = repository.config().repository.short();
        tracing::info!(location, id, "repository opened");
        if !self.ui.verbose {
            return Ok(());
        }
        let cache = match cache_dir {
            Some(dir) => format!("cache in {}", text::path(dir)),
            None => "no cache".to_owned(),
        };
        self.ui.tell(&format!("repository {id} at {}, {cache}", printable(&location)))
    }

    /// The directory of the cache of `repository`; `None` where there can be none.
    fn cache_dir(&self, repository: &Repository) -> Option<PathBuf> {
        let base = self.cache_base()?;
        match cache_home::make(base, repository.config().repository) {
            Ok(dir) => Some(dir),
            Err(error) => {
                let shown = base.display();
                self.ui.notice(&format!("no cache is kept: could not make {shown}: {error}"));
                None
            }
        }
    }

    /// The directory of all caches.
    pub(crate) fn cache_base(&self) -> Option<&PathBuf> {
        match &self.settings.cache {
            CachePlace::Nowhere => None,
            CachePlace::Below(base) => Some(base),
        }
    }

    /// What must be in no snapshot: the repository, the cache, key files.
    pub(crate) fn own_paths(&self, repository: &Repository) -> Vec<PathBuf> {
        let id = repository.config().repository;
        // A directory that a person named may hold anything else as well.
        let named = self.cache_base().map(|base| cache_home::of(base, id));
        let usual = settings::default_cache(&self.environment);
        let mut paths: Vec<PathBuf> = named.into_iter().chain(usual).collect();
        if let Place::Local(path) = repository.backend().location().place() {
            paths.push(path.clone());
        }
        if let Some(SecretSource::KeyFile(path)) = &self.settings.secret {
            paths.push(path.clone());
        }
        if let Ok(embedded) = Embedded::find(&self.environment) {
            paths.push(embedded.key_file);
        }
        paths
    }

    /// Runs an operation with progress on the terminal, and with signals taken over.
    ///
    /// # Errors
    /// Those of the operation.
    pub(crate) fn run<T>(
        &self,
        tell: Tell,
        operation: impl FnOnce(&Run<'_>) -> Result<T>,
    ) -> Result<Ran<T>> {
        let cancel = Cancel::default();
        let progress = Arc::new(Progress::default());
        let problem_count = Arc::new(AtomicU64::new(0));
        let problems = match tell {
            Tell::InReport => Problems::default(),
            Tell::AtOnce(during) | Tell::InListing(during) => {
                let (ui, count) = (Arc::clone(&self.ui), Arc::clone(&problem_count));
                Problems::with_listener(Box::new(move |problem| {
                    count.fetch_add(1, Ordering::Relaxed);
                    ui.problem(problem, during);
                }))
            }
        };
        let ticker = Ticker::start(Watched {
            ui: Arc::clone(&self.ui),
            shows_progress: !matches!(tell, Tell::InListing(_)),
            progress: Arc::clone(&progress),
            problem_count,
            cancel: cancel.clone(),
            signals: Signals::install(&cancel),
        });
        let started = Instant::now();
        let result = operation(&Run {
            clock: &self.clock,
            problems: &problems,
            progress: &progress,
            cancel: &cancel,
        });
        let elapsed = started.elapsed();
        drop(ticker);
        Ok(Ran { report: result?, progress, problem_count: problems.count(), elapsed })
    }

    /// The label of a key slot that is made now.
    pub(crate) fn label(&self, text: &str) -> crate::format::slot::Label {
        identity::label(text, &self.clock)
    }
}

fn no_embedded(goal: &Goal) -> Error {
    let location = &goal.location;
    Error::new(
        ErrorKind::NoRepository,
        format!("no repository was named, and there is none at {location}"),
    )
    .hint(
        "Name one with `-r LOCATION` or PARADOS_REPOSITORY; `parados backup PATH` makes this \
         default one.",
    )
}

/// Says what is left when the key file of the embedded repository is gone.
fn lost_key(error: Error, goal: &Goal) -> Error {
    if goal.is_embedded && error.kind == ErrorKind::NotFound {
        return error.hint("If it is lost, open the repository with `--recovery-code`.");
    }
    error
}
