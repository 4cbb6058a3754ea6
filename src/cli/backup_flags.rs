//! The options of `backup` that say how sources are compared, compressed and recorded.

use std::time::Duration;

use clap::ValueEnum;

use super::environment::Environment;
use super::identity;
use super::pack_size::{pack_len, parse_pack_size};
use crate::base::{Clock, Error, ErrorKind, Result, SystemClock, Timestamp};
use crate::ops::backup::{LEVEL, READ_CONCURRENCY};
use crate::source::Comparison;

#[derive(Debug, clap::Args)]
pub(crate) struct BackupFlags {
    /// Mark the snapshot; may be given several times
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    tag: Vec<String>,

    /// Record this host name instead of that of the system [env: PARADOS_HOST]
    #[arg(short = 'H', long, value_name = "NAME")]
    host: Option<String>,

    /// Describe the snapshot
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,

    /// Record this time, as in "2012-11-01 22:08:41", RFC 3339 or `now`
    #[arg(long, value_name = "TIME")]
    time: Option<String>,

    /// Compare with this snapshot: an id, its first digits, or `latest`, which is the newest of the
    /// same paths on this host and not newer than `--time`, and what is used if nothing is said
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) parent: Option<String>,

    /// Compare with no snapshot: read every file, also those that look unchanged
    #[arg(short, long)]
    pub(crate) force: bool,

    /// Ignore inode numbers and ctimes when looking for changed files, for file systems that give
    /// out new ones at every mount
    #[arg(long)]
    ignore_inode: bool,

    /// Ignore ctimes when looking for changed files
    #[arg(long)]
    ignore_ctime: bool,

    /// Make no snapshot when nothing changed since the parent
    #[arg(long)]
    pub(crate) skip_if_unchanged: bool,

    /// Write nothing, and say what would be added
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Files to read at a time [default: 4] [env: PARADOS_READ_CONCURRENCY]
    #[arg(long, value_name = "N")]
    read_concurrency: Option<usize>,

    /// How often to store what was captured so far, for the case that this run comes to no end; see
    /// `snapshots --interrupted`
    #[arg(long, value_name = "DURATION", value_parser = interval, default_value = "5m")]
    pub(crate) save_interval: Duration,

    /// How hard to compress: level 3 of zstd, or with `fastest` 1, with `better` 7, with `max` 19;
    /// with `off` only names and attributes are compressed [default: auto] [env: PARADOS_COMPRESSION]
    #[arg(long, value_enum, value_name = "MODE")]
    compression: Option<Compression>,

    /// Store what was sealed without opening it again; that is done because memory can be bad
    #[arg(long)]
    pub(crate) no_extra_verify: bool,

    /// Length of full packs that this run makes, at most 128M; a number without unit is in MiB
    /// [default: that of the repository] [env: PARADOS_PACK_SIZE]
    #[arg(long, value_name = "SIZE", value_parser = parse_pack_size)]
    pack_size: Option<u64>,
}

/// A time that is not over at once.
fn interval(text: &str) -> Result<Duration, String> {
    let refuse = || format!("{text:?} is no time of a second or more, as `5m`");
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| refuse())?;
    Duration::try_from(parsed)
        .ok()
        .filter(|parsed| *parsed >= Duration::from_secs(1))
        .ok_or_else(refuse)
}

/// How hard to compress. What does not shrink is stored as it is in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Compression {
    #[default]
    #[value(alias = "default")]
    Auto,
    Off,
    Fastest,
    Better,
    Max,
}

impl Compression {
    /// Levels of zstd. Beside 3, which is used if nothing is said, 1 saves little time beside reading
    /// and sealing, 7 is about half as fast for a few percent, 19 is for what is written once.
    fn level(self) -> Option<i32> {
        match self {
            Self::Off => None,
            Self::Fastest => Some(1),
            Self::Auto => Some(LEVEL),
            Self::Better => Some(7),
            Self::Max => Some(19),
        }
    }
}

impl BackupFlags {
    /// Length of full packs; nothing for that of the repository.
    ///
    /// # Errors
    /// When no pack may have it.
    pub(crate) fn pack_len(&self, environment: &Environment) -> Result<Option<u32>> {
        pack_len(self.pack_size, environment)
    }

    /// The host that the snapshot is recorded under.
    ///
    /// # Errors
    /// When the variable is not UTF-8.
    pub(crate) fn host(&self, environment: &Environment) -> Result<String> {
        identity::host_of(self.host.as_ref(), environment)
    }

    /// The tags, without empty ones.
    pub(crate) fn tags(&self) -> Vec<String> {
        self.tag.iter().filter(|tag| !tag.is_empty()).cloned().collect()
    }

    /// The time that the snapshot is recorded under; none for the present.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn time(&self) -> Result<Option<Timestamp>> {
        let Some(text) = self.time.as_deref().filter(|text| *text != "now") else {
            return Ok(None);
        };
        let refuse = || {
            Error::new(ErrorKind::Usage, format!("{text:?} is no time"))
                .hint("Write it as \"2012-11-01 22:08:41\" or \"2012-11-01T22:08:41Z\", or `now`.")
        };
        let time = Timestamp::parse(text).ok_or_else(refuse)?;
        if time > SystemClock.now() {
            return Err(Error::new(ErrorKind::Usage, format!("{text:?} is later than now")).hint(
                "A snapshot from the future would be neither latest nor parent of a backup.",
            ));
        }
        Ok(Some(time))
    }

    /// How files are compared. Where inodes are not kept, ctimes are not either.
    pub(crate) fn comparison(&self) -> Comparison {
        let ignore_ctime = self.ignore_ctime || self.ignore_inode;
        Comparison { ignore_inode: self.ignore_inode, ignore_ctime }
    }

    /// Files that are read at a time.
    ///
    /// # Errors
    /// When it is no number above zero.
    pub(crate) fn read_concurrency(&self, environment: &Environment) -> Result<usize> {
        let count = match self.read_concurrency {
            Some(count) => Some(count),
            None => match environment.text("PARADOS_READ_CONCURRENCY")? {
                None => None,
                Some(text) => Some(text.trim().parse().map_err(|_| {
                    Error::new(ErrorKind::Usage, "PARADOS_READ_CONCURRENCY is not a number")
                })?),
            },
        };
        match count {
            Some(0) => Err(Error::new(ErrorKind::Usage, "at least one file is read at a time")),
            count => Ok(count.unwrap_or(READ_CONCURRENCY)),
        }
    }

    /// The level of zstd for file content; without one it is not compressed.
    ///
    /// # Errors
    /// When the variable names none.
    pub(crate) fn level(&self, environment: &Environment) -> Result<Option<i32>> {
        if let Some(compression) = self.compression {
            return Ok(compression.level());
        }
        let Some(word) = environment.text("PARADOS_COMPRESSION")? else {
            return Ok(Compression::default().level());
        };
        Compression::from_str(&word, true).map(Compression::level).map_err(|_| {
            Error::new(ErrorKind::Usage, format!("PARADOS_COMPRESSION cannot be {word:?}"))
                .hint("It is `auto`, `off`, `fastest`, `better` or `max`.")
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        flags: BackupFlags,
    }

    fn flags(words: &[&str]) -> BackupFlags {
        Typed::try_parse_from([&["x"], words].concat()).expect("it is understood").flags
    }

    #[test]
    fn options_win_over_variables_and_those_over_defaults() {
        let nothing = Environment::of(&[]);
        let set = Environment::of(&[
            ("PARADOS_COMPRESSION", "MAX"),
            ("PARADOS_READ_CONCURRENCY", "9"),
            ("PARADOS_HOST", "h"),
        ]);
        let level = |words: &[&str], env| flags(words).level(env).expect("a level");
        assert_eq!(level(&[], &nothing), Some(3));
        assert_eq!(level(&[], &set), Some(19));
        for (word, expect) in [
            ("auto", Some(3)),
            ("default", Some(3)),
            ("off", None),
            ("fastest", Some(1)),
            ("better", Some(7)),
            ("max", Some(19)),
        ] {
            assert_eq!(level(&["--compression", word], &set), expect, "{word}");
        }
        let count = |words: &[&str], env| flags(words).read_concurrency(env).map_err(|e| e.kind);
        assert_eq!(count(&[], &nothing), Ok(4));
        assert_eq!(count(&[], &set), Ok(9));
        assert_eq!(count(&["--read-concurrency", "2"], &set), Ok(2));
        assert_eq!(count(&["--read-concurrency", "0"], &set), Err(ErrorKind::Usage));
        let bad =
            Environment::of(&[("PARADOS_COMPRESSION", "x"), ("PARADOS_READ_CONCURRENCY", "x")]);
        assert!(flags(&[]).level(&bad).is_err() && count(&[], &bad).is_err());
        assert_eq!(flags(&[]).host(&set).expect("a host"), "h");
        assert_eq!(flags(&["-H", "g"]).host(&set).expect("a host"), "g");
    }

    #[test]
    fn ignoring_inodes_ignores_ctimes_as_in_restic_but_not_the_other_way_around() {
        let comparison = |words: &[&str]| flags(words).comparison();
        assert_eq!(comparison(&[]), Comparison::default());
        let ctime = Comparison { ignore_inode: false, ignore_ctime: true };
        assert_eq!(comparison(&["--ignore-ctime"]), ctime);
        assert_eq!(comparison(&["--ignore-inode"]), Comparison { ignore_inode: true, ..ctime });
    }

    #[test]
    fn intervals_are_read() {
        for (text, seconds) in [("5m", 300), ("1s", 1), ("90 seconds", 90), ("1h30m", 5400)] {
            assert_eq!(interval(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "5", "0s", "-5m", "soon"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_is_understood_or_refused() {
        let time = |text| flags(&["--time", text]).time().map_err(|error| error.kind);
        assert_eq!(time("now"), Ok(None));
        assert_eq!(time("2012-11-01T22:08:41Z"), Ok(Some(Timestamp::new(1_351_807_721, 0))));
        assert_eq!(time("yesterday"), Err(ErrorKind::Usage));
    }
}
