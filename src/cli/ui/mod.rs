//! The only place that writes to a terminal.
//!
//! Results go to standard output, everything else to standard error. A progress display never
//! mixes with either: it steps aside while something is printed.

pub(crate) mod json;
pub(crate) mod panic;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod text;

mod created;
mod error;

use std::borrow::Cow;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Stdout, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{MultiProgress, ProgressDrawTarget};
use rustix::stdio;
use serde::Serialize;
use zeroize::Zeroizing;

use super::args::Global;
use super::environment::Environment;
use crate::base::text::{is_printable, printable};
use crate::base::{Error, Result};

pub(crate) use error::is_closed_pipe;

/// Columns of a terminal that does not say.
const COLUMNS: usize = 80;
/// What is said of standard output that cannot be written.
const CANNOT_PRINT: &str = "could not print the result";
/// Most redraws of the progress display in a second.
const REDRAWS_PER_SECOND: u8 = 10;

/// What prints, and in which manner.
pub(crate) struct Ui {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    colored: bool,
    /// Where the progress display is; absent without a terminal.
    screen: Option<MultiProgress>,
    out: Mutex<BufWriter<Stdout>>,
    /// A person sees each line as it comes; a pipe gets larger pieces.
    is_live: bool,
}

impl Ui {
    /// Settles the manner once.
    pub(crate) fn new(global: &Global, environment: &Environment) -> Self {
        let has_terminal = io::stderr().is_terminal();
        let dumb = environment.get("TERM").is_some_and(|term| term == "dumb");
        let draws = has_terminal && !global.quiet && !global.json && !dumb;
        let screen = draws.then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND);
            MultiProgress::with_draw_target(target)
        });
        Self {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            colored: !global.json && has_colors(global.no_color, environment, has_terminal),
            screen,
            out: Mutex::new(BufWriter::with_capacity(64 << 10, io::stdout())),
            is_live: io::stdout().is_terminal(),
        }
    }

    /// Whether somebody is told how far a run is.
    pub(crate) fn shows_progress(&self) -> bool {
        self.screen.is_some() || (self.json && !self.quiet)
    }

    /// Prints one line of a result.
    ///
    /// # Errors
    /// When standard output cannot be written; see [`is_closed_pipe`].
    pub(crate) fn out(&self, line: &str) -> Result<()> {
        let line = harmless(line);
        let written = self.aside(|| {
            let mut out = self.lock();
            out.write_all(line.as_bytes())?;
            out.write_all(b"\n")?;
            if self.is_live { out.flush() } else { Ok(()) }
        });
        written.map_err(cannot_print)
    }

    /// As [`Ui::out`], past the buffers, which would keep what was printed.
    ///
    /// # Errors
    /// As [`Ui::out`].
    pub(crate) fn out_secret(&self, line: &str) -> Result<()> {
        let line = Zeroizing::new([line, "\n"].concat());
        let written = self.aside(|| {
            self.lock().flush()?;
            let mut rest = line.as_bytes();
            while !rest.is_empty() {
                match rustix::io::retry_on_intr(|| rustix::io::write(stdio::stdout(), rest))? {
                    0 => return Err(io::Error::from(ErrorKind::WriteZero)),
                    len => rest = &rest[len..],
                }
            }
            Ok(())
        });
        written.map_err(cannot_print)
    }

    /// Columns of the terminal that results go to; absent where there is none.
    pub(crate) fn columns(&self) -> Option<usize> {
        let size = || rustix::termios::tcgetwinsize(stdio::stdout()).ok();
        self.is_live.then(|| match size().map_or(0, |size| usize::from(size.ws_col)) {
            0 => COLUMNS,
            columns => columns,
        })
    }

    /// Prints one line that tells how it went; nothing with `--quiet` and with `--json`.
    ///
    /// # Errors
    /// As [`Ui::out`].
    pub(crate) fn tell(&self, line: &str) -> Result<()> {
        if self.quiet || self.json { Ok(()) } else { self.out(line) }
    }

    /// Prints one object of JSON.
    ///
    /// # Errors
    /// As [`Ui::out`].
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<()> {
        self.out(&json::line(value))
    }

    /// As [`Ui::json`], for what contains a secret.
    ///
    /// # Errors
    /// As [`Ui::out`].
    pub(crate) fn secret_json(&self, value: &impl Serialize) -> Result<()> {
        self.out_secret(&json::secret_line(value))
    }

    /// Hands on everything printed so far.
    ///
    /// # Errors
    /// As [`Ui::out`].
    pub(crate) fn flush(&self) -> Result<()> {
        self.lock().flush().map_err(cannot_print)
    }

    /// Prints one line on standard error. There is nowhere to report a failure to.
    pub(crate) fn err(&self, line: &str) {
        self.aside(|| {
            let mut line = line.to_owned();
            line.push('\n');
            drop(io::stderr().lock().write_all(line.as_bytes()));
        });
    }

    /// Tells what a person may want to know.
    pub(crate) fn notice(&self, message: &str) {
        if self.json {
            self.err(&json::line(&json::Notice::new("notice", message)));
        } else if !self.quiet {
            self.err(&format!("{} {}", self.painted("note:", "36"), printable(message)));
        }
    }

    /// Tells what a person should change.
    pub(crate) fn warn(&self, message: &str) {
        if self.json {
            self.err(&json::line(&json::Notice::new("warning", message)));
        } else {
            self.err(&format!("{} {}", self.painted("warning:", "33"), printable(message)));
        }
    }

    /// `text` in a color, where there are colors.
    fn painted(&self, text: &str, color: &str) -> String {
        if self.colored { format!("\x1b[1;{color}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Does `print` while the progress display is out of the way.
    fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.screen {
            Some(screen) => screen.suspend(print),
            None => print(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BufWriter<Stdout>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether standard error gets colors: as the widespread variables say, otherwise where a terminal
/// can show them.
fn has_colors(no_color: bool, environment: &Environment, has_terminal: bool) -> bool {
    let is = |name: &str, value: &str| environment.get(name).is_some_and(|found| found == value);
    let is_forced = environment.get("CLICOLOR_FORCE").is_some() && !is("CLICOLOR_FORCE", "0");
    let is_refused = no_color || environment.get("NO_COLOR").is_some();
    !is_refused && (is_forced || (has_terminal && !is("TERM", "dumb") && !is("CLICOLOR", "0")))
}

/// `line` without characters that drive a terminal. Names were escaped where they came from, so
/// that this finds nothing; it is here because one place that forgets would be enough.
fn harmless(line: &str) -> Cow<'_, str> {
    if is_printable(line) {
        return Cow::Borrowed(line);
    }
    Cow::Owned(line.split('\n').map(printable).collect::<Vec<_>>().join("\n"))
}

fn cannot_print(error: io::Error) -> Error {
    let kind = crate::base::error::kind_of_io(&error);
    Error::new(kind, CANNOT_PRINT).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_are_for_terminals_and_for_who_insists() {
        let colors = |variables: &[(&str, &str)], has_terminal| {
            has_colors(false, &Environment::of(variables), has_terminal)
        };
        assert!(colors(&[], true) && !colors(&[], false));
        assert!(!colors(&[("NO_COLOR", "1")], true) && colors(&[("NO_COLOR", "")], true));
        assert!(!colors(&[("TERM", "dumb")], true) && !colors(&[("CLICOLOR", "0")], true));
        assert!(colors(&[("CLICOLOR_FORCE", "1")], false));
        assert!(!colors(&[("CLICOLOR_FORCE", "0")], false));
        assert!(!colors(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true));
        assert!(!has_colors(true, &Environment::of(&[("CLICOLOR_FORCE", "1")]), true));
    }

    #[test]
    fn what_forgot_to_escape_is_escaped() {
        assert!(matches!(harmless("a\nb"), Cow::Borrowed(_)));
        assert_eq!(harmless("a\nb\u{1b}[2J\r\u{202e}"), "a\nb\\x1b[2J\\r\\u{202e}");
    }

    #[test]
    fn only_a_closed_pipe_is_one() {
        assert!(is_closed_pipe(&cannot_print(io::Error::from(io::ErrorKind::BrokenPipe))));
        assert!(!is_closed_pipe(&cannot_print(io::Error::from(io::ErrorKind::StorageFull))));
        let other = Error::io("could not read x", io::Error::other("EIO"));
        assert!(!is_closed_pipe(&other));
    }
}
