//! Reads patterns that were typed or stand in files.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::environment::Environment;
use super::list_file::ListFile;
use crate::base::pattern::{Case, PatternError, Patterns};
use crate::base::text::escape;
use crate::base::{Error, ErrorKind, Result};

/// Patterns of one kind.
pub(crate) struct Given<'a> {
    /// What they were typed behind.
    pub(crate) option: &'a str,
    pub(crate) case: Case,
    /// Those that were typed.
    pub(crate) typed: &'a [OsString],
    /// Files with more; those come after all that were typed, as in restic.
    pub(crate) files: &'a [PathBuf],
}

/// Reads all of `given`, with variables of `environment` in files. Of each, `also` may make a
/// second pattern.
///
/// # Errors
/// Names a pattern that cannot be used, and where it stands.
pub(crate) fn read(
    given: &Given<'_>,
    environment: &Environment,
    mut also: impl FnMut(&[u8]) -> Option<Vec<u8>>,
) -> Result<Patterns> {
    let mut patterns = Patterns::new(given.case);
    let mut add = |text: &[u8], place: &str| {
        let refuse = |why| refuse(text, place, &why);
        patterns.add(text).map_err(refuse)?;
        also(text).map_or(Ok(()), |second| patterns.add(&second)).map_err(refuse)
    };
    for text in given.typed {
        if text.is_empty() {
            // An unset variable of a shell must not select everything, or nothing.
            let message = format!("a pattern of {} is empty", given.option);
            return Err(Error::new(ErrorKind::Usage, message)
                .hint("Leave the option out, or check the variable that stands there."));
        }
        add(text.as_bytes(), &format!("of {}", given.option))?;
    }
    for path in given.files {
        let file = ListFile::read(path, "file of patterns")?.decoded()?;
        for (number, line) in file.entries() {
            let place = format!("in line {number} of {}", file.shown);
            let text = expand(line, environment).map_err(|name| unset(&name, line, &place))?;
            add(&text, &place)?;
        }
    }
    Ok(patterns)
}

fn refuse(text: &[u8], place: &str, why: &PatternError) -> Error {
    let message = format!("could not use the pattern {} {place}: {why}", escape(text));
    Error::new(ErrorKind::Usage, message)
        .hint("A backslash before a character takes its special meaning away.")
}

fn unset(name: &str, line: &[u8], place: &str) -> Error {
    let message =
        format!("could not use the pattern {} {place}: there is no variable {name}", escape(line));
    Error::new(ErrorKind::Usage, message).hint("Set it, or write `$$` for a dollar sign.")
}

/// Replaces `$NAME` and `${NAME}` by what the variable holds, and `$$` by `$`.
///
/// A variable that is not set is an error, unlike in restic: `$HOME/*` must not become `/*`.
fn expand(line: &[u8], environment: &Environment) -> std::result::Result<Vec<u8>, String> {
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let mut text = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'$' {
            text.push(*byte);
            continue;
        }
        let (name, skip) = match behind {
            [b'$', ..] => {
                text.push(b'$');
                rest = &behind[1..];
                continue;
            }
            [b'{', inner @ ..] => {
                let end = inner.iter().position(|byte| *byte == b'}');
                let len = end.ok_or_else(|| escape(behind))?;
                (&inner[..len], len + 2)
            }
            _ => {
                let len = behind.iter().take_while(|byte| is_of_name(byte)).count();
                if len == 0 {
                    text.push(b'$');
                    continue;
                }
                (&behind[..len], len)
            }
        };
        let name = escape(name);
        let value = environment.get(&name).ok_or(name)?;
        text.extend_from_slice(value.as_bytes());
        rest = &behind[skip..];
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced() {
        let environment = Environment::of(&[("HOME", "/home/me"), ("A_1", "x$HOME"), ("E", "")]);
        let run = |line: &str| {
            expand(line.as_bytes(), &environment).map(|text| String::from_utf8(text).unwrap())
        };
        let good =
            |line: &str, expect: &str| assert_eq!(run(line), Ok(expect.to_owned()), "{line}");
        good("$HOME/*", "/home/me/*");
        good("${HOME}s/$HOME", "/home/mes//home/me");
        good("!$HOME", "!/home/me");
        good("$A_1", "x$HOME");
        good("a$$HOME$$", "a$HOME$");
        good("cost$.txt $", "cost$.txt $");
        good("~/x", "~/x");
        let bad = |line: &str, name: &str| assert_eq!(run(line), Err(name.to_owned()), "{line}");
        bad("$NOTHING/*", "NOTHING");
        bad("$HOMES", "HOMES");
        bad("$E/*", "E");
        bad("$1", "1");
        bad("${}", "");
        bad("x${HOME", "{HOME");
    }
}
