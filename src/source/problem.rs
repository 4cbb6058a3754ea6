//! One fault of one entry, which never stops a backup.

use std::fmt;

use crate::base::error::kind_of_io;
use crate::base::text::escape;
use crate::base::{Error, ErrorKind};

/// Reading something.
pub(super) const READ: &str = "read";
/// Reading extended attributes.
pub(super) const READ_ATTRIBUTES: &str = "read the attributes of";

/// Something that could not be backed up, or not wholly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Raw bytes of the path.
    pub path: Vec<u8>,
    /// What was being done to it; completes "could not …".
    pub doing: &'static str,
    /// What a caller can act on: [`ErrorKind::NotFound`] says that the entry vanished since its
    /// directory was listed, which is ordinary on a living system.
    pub kind: ErrorKind,
    /// Lower-case fragment that says why.
    pub message: String,
}

impl Problem {
    /// A problem with a cause that we found ourselves.
    pub fn new(
        path: Vec<u8>,
        doing: &'static str,
        kind: ErrorKind,
        message: impl Into<String>,
    ) -> Self {
        Self { path, doing, kind, message: message.into() }
    }

    /// A problem that the operating system reported.
    pub fn io(path: Vec<u8>, doing: &'static str, error: impl Into<std::io::Error>) -> Self {
        let error = error.into();
        Self { path, doing, kind: kind_of_io(&error), message: fragment(&error) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {} {}: {}", self.doing, escape(&self.path), self.message)
    }
}

impl std::error::Error for Problem {}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        let error = Self::new(problem.kind, problem.to_string());
        match way_out(problem.kind) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

fn way_out(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Access => Some("Run as a user who may read it, as root, or leave it out."),
        ErrorKind::NotFound => Some("If it was not meant to go away, check the path."),
        _ => None,
    }
}

/// The text of an operating system error as the end of a sentence: "permission denied".
fn fragment(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split_once(" (os error").map_or(text.as_str(), |(head, _)| head);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => "unknown error".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_one_sentence() {
        let problem = Problem::io(b"/a/\x07".to_vec(), READ, rustix::io::Errno::ACCESS);
        assert_eq!(problem.to_string(), "could not read /a/\\x07: permission denied");
        let error = Error::from(problem.clone());
        assert_eq!((error.kind, error.to_string()), (ErrorKind::Access, problem.to_string()));
        let problem = Problem::io(b"/a".to_vec(), READ_ATTRIBUTES, rustix::io::Errno::NOENT);
        assert_eq!(
            problem.to_string(),
            "could not read the attributes of /a: no such file or directory"
        );
        assert_eq!(problem.kind, ErrorKind::NotFound);
    }
}
