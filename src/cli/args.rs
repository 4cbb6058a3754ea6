//! What was typed.

use std::path::PathBuf;

use clap::Parser;

use super::commands::Command;
use super::limit_flags::LimitFlags;
use crate::base::SecretText;

/// Encrypted, deduplicated backups that can prove they come back
///
/// Without a repository, `parados backup PATH` makes one in your home directory; name another with
/// `-r`. Every option with a variable in brackets may also be set there, and most of them in a
/// configuration file: see docs/cli.md.
#[derive(Debug, Parser)]
#[command(name = "parados", version, max_term_width = 100)]
#[command(
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Where the repository is: a directory, s3://..., gs://... or az://... [env: PARADOS_REPOSITORY]
    #[arg(short, long, global = true, value_name = "LOCATION")]
    pub(crate) repo: Option<SecretText>,

    /// Read the location from this file [env: PARADOS_REPOSITORY_FILE]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "repo")]
    pub(crate) repository_file: Option<PathBuf>,

    /// Read the passphrase from this file [env: PARADOS_PASSWORD_FILE]
    #[arg(long, short = 'p', global = true, value_name = "FILE")]
    #[arg(conflicts_with_all = ["password_command", "password_fd", "key_file", "recovery_code"])]
    pub(crate) password_file: Option<PathBuf>,

    /// Read the passphrase from what this command prints; no shell [env: PARADOS_PASSWORD_COMMAND]
    #[arg(long, global = true, value_name = "COMMAND")]
    #[arg(conflicts_with_all = ["password_fd", "key_file", "recovery_code"])]
    pub(crate) password_command: Option<SecretText>,

    /// Read the passphrase from this open file descriptor
    #[arg(long, global = true, value_name = "N")]
    #[arg(conflicts_with_all = ["key_file", "recovery_code"])]
    pub(crate) password_fd: Option<u32>,

    /// Use the key in this file instead of a passphrase [env: PARADOS_KEY_FILE]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "recovery_code")]
    pub(crate) key_file: Option<PathBuf>,

    /// Ask for a recovery code instead of a passphrase
    #[arg(long, global = true)]
    pub(crate) recovery_code: bool,

    /// Keep caches below this directory [env: PARADOS_CACHE_DIR]
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "no_cache")]
    pub(crate) cache_dir: Option<PathBuf>,

    /// Keep no cache on this host; the index is held in memory then, beside --max-memory, and a
    /// backup reads every file again
    #[arg(long, global = true)]
    pub(crate) no_cache: bool,

    /// Use at most this much memory in `backup`, `restore`, `check` and `prune`; `ls` needs less than
    /// 200 MiB, whatever there is [default: 512M] [env: PARADOS_MAX_MEMORY]
    #[arg(long, global = true, value_name = "SIZE", value_parser = crate::base::size::parse)]
    pub(crate) max_memory: Option<u64>,

    #[command(flatten)]
    pub(crate) limits: LimitFlags,

    /// Print JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print only results that were asked for, problems and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Print more
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    /// Print without colors [env: NO_COLOR]
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}
