//! The log of a run, for who looks for the reason of something.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

use super::environment::Environment;
use super::ui::{Ui, text};
use crate::base::{Error, ErrorKind, Result};

/// Starts the log where one is wished for; without it, an event costs the look at one number.
///
/// Only what this crate says is written: others may log what they send, and with it credentials.
///
/// # Errors
/// When the wish makes no sense, or the file cannot be written.
pub(crate) fn start(environment: &Environment, ui: &Arc<Ui>) -> Result<()> {
    let Some(wish) = environment.text("PARADOS_LOG")? else { return Ok(()) };
    let filter = EnvFilter::builder().parse(&wish).map_err(|error| {
        Error::new(ErrorKind::Usage, format!("could not use PARADOS_LOG={wish:?}"))
            .because(error)
            .hint("Write a level, as in `info`, or one for a part: `parados::backend=debug`.")
    })?;
    let own = filter_fn(|metadata| metadata.target().starts_with("parados"));
    let lines = tracing_subscriber::fmt::layer().with_ansi(false);
    let lines: Box<dyn Layer<_> + Send + Sync> = match environment.path("PARADOS_LOG_FILE") {
        Some(path) => {
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
            let shown = text::path(&path);
            let file: File =
                file.map_err(|error| Error::io(format!("could not open the log {shown}"), error))?;
            lines.with_writer(Mutex::new(file)).boxed()
        }
        None => lines.with_writer(Aside(Arc::clone(ui))).boxed(),
    };
    let subscriber = Registry::default().with(filter).with(own).with(lines);
    // Only a second one would fail, and there is none.
    drop(tracing::subscriber::set_global_default(subscriber));
    Ok(())
}

/// Writes to standard error while the progress display is out of the way.
struct Aside(Arc<Ui>);

impl<'a> MakeWriter<'a> for Aside {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(&self.0)
    }
}

/// A line of the log, which comes in one piece.
struct Line<'a>(&'a Ui);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.err(String::from_utf8_lossy(bytes).trim_end());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
