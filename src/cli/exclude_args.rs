//! Options with patterns of what is left out, by a backup as by a restore.

use std::ffi::OsString;
use std::path::PathBuf;

use super::environment::Environment;
use super::patterns::{self, Given};
use crate::base::Result;
use crate::base::pattern::{Case, Patterns};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct ExcludeArgs {
    /// Leave out what this pattern matches; may be given several times
    #[arg(short, long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<OsString>,

    /// As --exclude, and upper and lower case do not differ
    #[arg(long, value_name = "PATTERN")]
    pub(crate) iexclude: Vec<OsString>,

    /// Leave out what the patterns in this file match, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) exclude_file: Vec<PathBuf>,

    /// As --exclude-file, and upper and lower case do not differ
    #[arg(long, value_name = "FILE")]
    pub(crate) iexclude_file: Vec<PathBuf>,
}

impl ExcludeArgs {
    /// The patterns whose case counts, and those whose case does not. Of each pattern, `also` may
    /// make a second one.
    ///
    /// # Errors
    /// Names a pattern that cannot be used, or the file that cannot be read.
    pub(crate) fn read(
        &self,
        environment: &Environment,
        mut also: impl FnMut(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<[Patterns; 2]> {
        let exact = Given {
            option: "--exclude",
            case: Case::Sensitive,
            typed: &self.exclude,
            files: &self.exclude_file,
        };
        let folded = Given {
            option: "--iexclude",
            case: Case::Insensitive,
            typed: &self.iexclude,
            files: &self.iexclude_file,
        };
        Ok([
            patterns::read(&exact, environment, &mut also)?,
            patterns::read(&folded, environment, &mut also)?,
        ])
    }
}
