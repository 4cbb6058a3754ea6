//! Options that say what a backup leaves out.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::environment::Environment;
use super::exclude_args::ExcludeArgs;
use crate::base::text::escape;
use crate::base::{Error, ErrorKind, Result};
use crate::format::entry::validate_name;
use crate::source::{RealPatterns, Selection, Tag};

/// What the options below mean, for the manual.
pub(crate) const MANUAL: &str = "\
## What a backup leaves out

A pattern of `--exclude` is compared with the absolute path of each file and directory, name by
name: `*`, `?`, `[a-z]` and `[^a-z]` never match a slash, `**` stands for any number of names, and a
backslash takes the meaning of the next character away. A pattern that starts with `/` starts at the
root, any other at any depth: `*.o`, `build/tmp`, `/home/*/.cache`, `src/**/test`. What lies below a
match is left out as well. A pattern that starts with `!` takes back what those before it matched,
though nothing below a directory that is left out. Patterns that were typed come before those in
files.

In a file, empty lines and lines that start with `#` are skipped, white space around a line is
dropped, and `$NAME` or `${NAME}` stand for a variable, `$$` for a dollar sign. A variable that is
not set is an error.

With `--ignore-file .gitignore`, each file of that name inside of the paths says what in its
directory is left out, by git's rules. What is left out is never a problem; `--verbose` names it.

";

#[derive(Debug, Default, clap::Args)]
pub(crate) struct SelectionArgs {
    #[command(flatten)]
    exclude: ExcludeArgs,

    /// Leave out what is in directories with this file, but for the file, if it begins with HEADER
    #[arg(long, value_name = "NAME[:HEADER]")]
    exclude_if_present: Vec<OsString>,

    /// Leave out what is in cache directories: those with a valid CACHEDIR.TAG
    #[arg(long)]
    exclude_caches: bool,

    /// Leave out what files of this name, such as .gitignore, say of their directories
    #[arg(long, value_name = "NAME")]
    ignore_file: Vec<OsString>,

    /// Leave out files larger than this
    #[arg(long, value_name = "SIZE", value_parser = crate::base::size::parse)]
    exclude_larger_than: Option<u64>,

    /// Leave out other file systems than those of the paths
    #[arg(short = 'x', long)]
    one_file_system: bool,
}

impl SelectionArgs {
    /// What all of it asks for.
    ///
    /// # Errors
    /// Names what makes no sense, or the file that cannot be read.
    pub(crate) fn read(&self, environment: &Environment) -> Result<Selection> {
        let tags = self.exclude_if_present.iter().map(tag).collect::<Result<Vec<_>>>()?;
        let ignore_files = self.ignore_file.iter().map(ignore_file).collect::<Result<_>>()?;
        let mut real = RealPatterns::default();
        let [exclude, iexclude] = self.exclude.read(environment, |text| real.resolve(text))?;
        Ok(Selection {
            exclude,
            iexclude,
            tags: tags.into_iter().chain(self.exclude_caches.then(Tag::cache)).collect(),
            ignore_files,
            larger_than: self.exclude_larger_than,
            one_file_system: self.one_file_system,
            listener: None,
        })
    }
}

fn tag(text: &OsString) -> Result<Tag> {
    Tag::new(text.as_bytes()).map_err(|why| {
        let shown = escape(text.as_bytes());
        let message = format!("could not use {shown} of --exclude-if-present: {why}");
        Error::new(ErrorKind::Usage, message)
    })
}

fn ignore_file(name: &OsString) -> Result<Vec<u8>> {
    if validate_name(name.as_bytes()).is_ok() {
        return Ok(name.as_bytes().to_vec());
    }
    let shown = escape(name.as_bytes());
    let message = format!("could not use {shown} of --ignore-file: it is no name of a file");
    Err(Error::new(ErrorKind::Usage, message)
        .hint("For patterns in one file of any path, use `--exclude-file FILE`."))
}
