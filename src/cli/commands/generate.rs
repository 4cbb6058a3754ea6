//! `parados generate`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::base::{Error, ErrorKind, Result};
use crate::cli::args::Cli;
use crate::cli::context::Context;
use crate::cli::exit::Outcome;
use crate::cli::ui::text;

/// Write manual pages and completions for shells
///
/// As FILE, `-` stands for standard output.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Args {
    /// Write completions for bash to this file
    #[arg(long, value_name = "FILE")]
    bash_completion: Option<PathBuf>,

    /// Write completions for fish to this file
    #[arg(long, value_name = "FILE")]
    fish_completion: Option<PathBuf>,

    /// Write completions for zsh to this file
    #[arg(long, value_name = "FILE")]
    zsh_completion: Option<PathBuf>,

    /// Write completions for PowerShell to this file
    #[arg(long, value_name = "FILE")]
    powershell_completion: Option<PathBuf>,

    /// Write a manual page for each command to this directory; it is made if there is none
    #[arg(long, value_name = "DIR")]
    man: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    if let Some(directory) = &args.man {
        let count = write_pages(directory)?;
        let pages = text::count(count, "manual page");
        context.ui.tell(&format!("wrote {pages} to {}", text::path(directory)))?;
    }
    for (shell, path) in [
        (Shell::Bash, &args.bash_completion),
        (Shell::Fish, &args.fish_completion),
        (Shell::Zsh, &args.zsh_completion),
        (Shell::PowerShell, &args.powershell_completion),
    ] {
        if let Some(path) = path {
            write_completion(context, shell, path)?;
        }
    }
    Ok(Outcome::Done)
}

fn write_completion(context: &Context, shell: Shell, path: &Path) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "parados", &mut script);
    if path == Path::new("-") {
        let script = String::from_utf8(script).map_err(|error| {
            Error::new(ErrorKind::Bug, "the completions are no text").because(error)
        })?;
        return context.ui.out(script.trim_end());
    }
    write(path, &script)?;
    context.ui.tell(&format!("wrote completions for {shell} to {}", text::path(path)))
}

/// Writes a page for each command, and says how many.
fn write_pages(directory: &Path) -> Result<u64> {
    fs::create_dir_all(directory)
        .map_err(|error| Error::io(format!("could not make {}", text::path(directory)), error))?;
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut count = 0;
    let mut left = vec![root];
    while let Some(command) = left.pop() {
        left.extend(command.get_subcommands().filter(|inner| !inner.is_hide_set()).cloned());
        let version = concat!("parados ", env!("CARGO_PKG_VERSION"));
        let page = clap_mangen::Man::new(command).source(version).manual("Parados");
        let mut text = Vec::new();
        page.render(&mut text).map_err(|error| Error::io("could not write a page", error))?;
        write(&directory.join(page.get_filename()), &text)?;
        count += 1;
    }
    Ok(count)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = fs::File::create(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| Error::io(format!("could not write {}", text::path(path)), error))
}
