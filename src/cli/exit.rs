//! What the exit code of a run says.

use crate::base::ErrorKind;

/// Something failed.
pub(crate) const FAILED: u8 = 1;
/// The request makes no sense; also what clap answers to unknown arguments.
pub(crate) const USAGE: u8 = 2;

/// How a command ended that was not stopped by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well.
    Done,
    /// It ended, but some sources or objects could not be read.
    Incomplete,
    /// It ended, and found what is bad.
    Failed,
}

/// One exit code for the manual.
pub(crate) struct Row {
    pub(crate) code: u8,
    pub(crate) meaning: &'static str,
}

/// Every exit code there is; the numbers are restic's.
pub(crate) const CODES: &[Row] = &[
    Row { code: 0, meaning: "done" },
    Row { code: FAILED, meaning: "failed; or `check` or `restore --verify` found damage" },
    Row { code: USAGE, meaning: "the request makes no sense: an unknown option, an ambiguous id" },
    Row {
        code: 3,
        meaning: "done, but some sources or objects could not be read, or a stream is suspect: \
                  each was named, the rest was dealt with",
    },
    Row { code: 10, meaning: "there is no repository at the location" },
    Row { code: 12, meaning: "the passphrase, key file or recovery code does not open it" },
    Row { code: 130, meaning: "stopped by Ctrl-C or SIGTERM" },
];

/// The code of an outcome.
pub(crate) fn code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Done => 0,
        Outcome::Incomplete => 3,
        Outcome::Failed => FAILED,
    }
}

/// The code of an error.
pub(crate) fn code_of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => USAGE,
        ErrorKind::NoRepository => 10,
        ErrorKind::WrongKey => 12,
        ErrorKind::Cancelled => 130,
        ErrorKind::Access
        | ErrorKind::NotFound
        | ErrorKind::Exists
        | ErrorKind::Offline
        | ErrorKind::Damaged
        | ErrorKind::Unsupported
        | ErrorKind::Full
        | ErrorKind::Busy
        | ErrorKind::Clock
        | ErrorKind::Bug => FAILED,
    }
}

/// The word for a kind in JSON.
pub(crate) fn word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Usage => "usage",
        ErrorKind::Access => "access",
        ErrorKind::NoRepository => "no_repository",
        ErrorKind::NotFound => "not_found",
        ErrorKind::Exists => "exists",
        ErrorKind::WrongKey => "wrong_key",
        ErrorKind::Offline => "offline",
        ErrorKind::Damaged => "damaged",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::Full => "full",
        ErrorKind::Busy => "busy",
        ErrorKind::Clock => "clock",
        ErrorKind::Cancelled => "cancelled",
        ErrorKind::Bug => "bug",
    }
}
