//! How a person asks: arguments in, one operation, text or JSON out.
//!
//! `args` is what was typed, `settings` what is meant; `context` is what a command works with;
//! `ui` is the only place that writes to a terminal.

mod args;
mod backup_flags;
mod cache_home;
mod commands;
mod configuration;
mod context;
mod descriptor;
mod embedded;
mod environment;
mod exclude_args;
mod exit;
mod group_by;
mod identity;
mod keep_flags;
mod key_file;
mod limit_flags;
mod list_file;
mod log;
mod manual;
mod pack_size;
mod password_command;
mod restore_args;
mod restore_selection;
mod patterns;
mod prune_flags;
mod prompt;
mod secret;
mod secret_bytes;
mod selection;
mod settings;
mod signals;
mod snapshot_filter;
mod snapshot_table;
mod source_lists;
mod stream_flags;
mod ui;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ColorChoice, CommandFactory, FromArgMatches};

use crate::base::Result;
use crate::base::check_random;
use crate::base::text::printable;
use crate::source::limits::raise_open_file_limit;
use args::Cli;
use context::Context;
use environment::Environment;
use exit::Outcome;
use settings::Settings;
use ui::Ui;

pub use manual::manual;

/// Runs the command that the arguments of this process ask for.
pub fn main() -> ExitCode {
    // Before any secret is in memory: no core file, no reading by other processes of this user.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    raise_open_file_limit();
    signals::ignore_early();
    ui::panic::install();
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version end here as well; a reader that has gone is no reason to fail.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::USAGE));
        }
    };
    let environment = Environment::read();
    let ui = Arc::new(Ui::new(&cli.global, &environment));
    // A panic has been told about by the hook.
    let result = catch_unwind(AssertUnwindSafe(|| run(&cli, environment, &ui)));
    let code = match result {
        Ok(Ok(outcome)) => exit::code(outcome),
        Ok(Err(error)) if ui::is_closed_pipe(&error) => exit::code(Outcome::Done),
        Ok(Err(error)) => {
            let code = exit::code_of(error.kind);
            ui.fail(&error, code);
            code
        }
        Err(_) => exit::FAILED,
    };
    ExitCode::from(code)
}

/// Reads the arguments. Whether their errors have colors is settled before they are understood.
fn parse() -> Result<Cli, clap::Error> {
    let typed: Vec<OsString> = std::env::args_os().collect();
    let is_plain = typed.iter().any(|argument| argument == "--no-color");
    let color = if is_plain { ColorChoice::Never } else { ColorChoice::Auto };
    let read = |words: &[OsString]| Cli::command().color(color).try_get_matches_from(words);
    let matches = read(&typed).map_err(|error| {
        // It repeats what was typed, which may be names of files that a shell put there.
        let shown = typed.iter().map(|word| printable(&word.to_string_lossy()).into());
        read(&shown.collect::<Vec<_>>()).err().unwrap_or(error)
    })?;
    Cli::from_arg_matches(&matches)
}

fn run(cli: &Cli, environment: Environment, ui: &Arc<Ui>) -> Result<Outcome> {
    log::start(&environment, ui)?;
    let settings = Settings::new(&cli.global, &environment)?;
    check_random()?;
    let context = Context::new(settings, environment, Arc::clone(ui));
    cli.command.run(&context)
}
