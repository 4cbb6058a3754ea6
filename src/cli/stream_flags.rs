//! The options of `backup` for what is read from standard input or from a command.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::environment::Environment;
use crate::base::Result;
use crate::source::{Stream, StreamPath};

#[derive(Debug, clap::Args)]
pub(crate) struct StreamFlags {
    /// Read standard input instead of files
    #[arg(long, conflicts_with_all = ["sources", "stdin_from_command"])]
    pub(crate) stdin: bool,

    /// Run the command behind `--` and read what it prints; if it fails, no snapshot is made
    #[arg(long, requires = "sources")]
    pub(crate) stdin_from_command: bool,

    /// Store what is read under this path
    #[arg(long, value_name = "PATH", default_value = "stdin")]
    stdin_filename: OsString,

    /// Take a stream for what it should be, also when it is empty or shorter than half of the last
    /// one
    #[arg(long)]
    pub(crate) allow_suspect: bool,
}

impl StreamFlags {
    /// The stream that is read instead of files, if there is one. `words` are those that stand where
    /// files would.
    ///
    /// # Errors
    /// When its name makes no sense.
    pub(crate) fn stream(
        &self,
        words: &[PathBuf],
        environment: &Environment,
    ) -> Result<Option<Stream>> {
        if !self.stdin && !self.stdin_from_command {
            return Ok(None);
        }
        let path = StreamPath::parse(self.stdin_filename.as_bytes())?;
        if self.stdin {
            return Ok(Some(Stream::stdin(path)));
        }
        let words = words.iter().map(|word| word.clone().into_os_string()).collect();
        let seen = environment.for_children().map(|(name, value)| (name.clone(), value.clone()));
        Stream::command(path, words, seen.collect()).map(Some)
    }
}
