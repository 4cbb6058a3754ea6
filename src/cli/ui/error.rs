//! How an error is told.

use std::io;

use super::{Ui, json};
use crate::base::Error;
use crate::base::text::printable;
use crate::cli::exit;

impl Ui {
    /// Tells the error that ended the run.
    pub(crate) fn fail(&self, error: &Error, code: u8) {
        // What was printed before the error is still good.
        drop(self.flush());
        if self.json {
            self.err(&json::line(&json::ExitError {
                message_type: "exit_error",
                code,
                message: error.to_string(),
                kind: exit::word(error.kind),
                hint: error.hint.clone(),
            }));
        } else {
            self.err_with_hint("error:", "31", error);
        }
    }

    /// Tells a problem that does not end the run.
    pub(crate) fn problem(&self, error: &Error, during: &'static str) {
        if self.json {
            self.err(&json::line(&json::Problem {
                message_type: "error",
                error: json::Message { message: error.to_string() },
                during,
                kind: exit::word(error.kind),
                hint: error.hint.clone(),
            }));
        } else {
            self.err_with_hint("problem:", "33", error);
        }
    }

    fn err_with_hint(&self, label: &str, color: &str, error: &Error) {
        let mut told = format!("{} {}", self.painted(label, color), printable(&error.to_string()));
        if let Some(hint) = &error.hint {
            told.push_str(&format!("\n{} {}", self.painted("hint:", "36"), printable(hint)));
        }
        self.err(&told);
    }
}

/// Whether the error is that nobody reads our standard output any more.
pub(crate) fn is_closed_pipe(error: &Error) -> bool {
    let cause = error.source.as_deref().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
        && error.message == super::CANNOT_PRINT
}
