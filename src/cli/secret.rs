//! Where a secret comes from.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::descriptor;
use super::environment::Environment;
use super::key_file;
use super::password_command;
use super::prompt;
use super::secret_bytes::{line_of, read_secret};
use super::ui::Ui;
use crate::base::{Error, ErrorKind, Result, SecretText};
use crate::format::slot::SlotKind;
use crate::seal::code::{self, CodeKind};
use crate::seal::keys::Key;
use crate::seal::slot::Secret;

/// Longest passphrase in bytes.
const LEN_MAX: u64 = 1 << 20;

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretSource {
    /// A file descriptor that the parent left open.
    Descriptor(u32),
    /// A file that holds a passphrase.
    File(PathBuf),
    /// A command that prints a passphrase.
    Command(SecretText),
    /// The variable `PARADOS_PASSWORD`.
    Variable,
    /// A file that holds a key.
    KeyFile(PathBuf),
    /// A person who types a recovery code.
    RecoveryCode,
    /// A person who types a passphrase.
    Prompt,
}

/// What a typed passphrase is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To open what there is.
    Open,
    /// To make something new: asked for twice.
    Make,
}

/// Gets the secret.
///
/// # Errors
/// Names the source, and never repeats what it gave.
pub(crate) fn load(
    source: &SecretSource,
    purpose: Purpose,
    environment: &Environment,
    ui: &Ui,
) -> Result<Secret> {
    let passphrase = match source {
        SecretSource::Descriptor(number) => {
            let whose = format!("file descriptor {number}");
            let secret = from_file(Path::new(&format!("/proc/self/fd/{number}")), &whose)?;
            // A regular file could be read there a second time.
            descriptor::keep_from_children(*number)
                .map_err(|error| Error::io(format!("could not hide {whose}"), error))?;
            secret
        }
        SecretSource::File(path) => {
            warn_if_shared(path, ui);
            from_file(path, &path.display().to_string())?
        }
        SecretSource::Command(line) => {
            let bytes = password_command::output_of(line, environment, LEN_MAX)?;
            settle(bytes, "the password command")?
        }
        SecretSource::Variable => {
            let value = environment.get("PARADOS_PASSWORD").unwrap_or_default();
            let bytes = Zeroizing::new(value.as_encoded_bytes().to_vec());
            verify(bytes, "PARADOS_PASSWORD")?
        }
        SecretSource::KeyFile(path) => {
            warn_if_shared(path, ui);
            return Ok(Secret::KeyFile(key_file::read(path)?));
        }
        SecretSource::RecoveryCode => return recovery_code(),
        SecretSource::Prompt => typed(purpose)?,
    };
    Ok(Secret::Passphrase(passphrase))
}

/// The same secret once more.
pub(crate) fn duplicate(secret: &Secret) -> Secret {
    match secret {
        Secret::Passphrase(bytes) => Secret::Passphrase(bytes.clone()),
        Secret::KeyFile(key) => Secret::KeyFile(Key::new(*key.expose())),
        Secret::RecoveryCode(key) => Secret::RecoveryCode(Key::new(*key.expose())),
    }
}

/// What to ask for when nothing was said.
///
/// # Errors
/// When no passphrase opens the repository.
pub(crate) fn source_for(kinds: &[SlotKind]) -> Result<SecretSource> {
    if kinds.contains(&SlotKind::Passphrase) {
        return Ok(SecretSource::Prompt);
    }
    let has_key_file = kinds.contains(&SlotKind::KeyFile);
    let hint = if has_key_file { "`--key-file FILE`, or " } else { "" };
    Err(Error::new(ErrorKind::WrongKey, "no passphrase opens this repository")
        .hint(format!("Use {hint}`--recovery-code` to type one.")))
}

/// Whether a person is there to try again.
pub(crate) fn can_ask_again(source: &SecretSource) -> bool {
    matches!(source, SecretSource::Prompt | SecretSource::RecoveryCode)
        && std::io::stdin().is_terminal()
}

/// Refuses a source that would take what it wants from the data on standard input.
///
/// # Errors
/// With other sources.
pub(crate) fn refuse_stdin(source: &SecretSource) -> Result<()> {
    let reads_stdin = match source {
        SecretSource::Prompt | SecretSource::RecoveryCode => !std::io::stdin().is_terminal(),
        SecretSource::Descriptor(number) => *number == 0,
        _ => false,
    };
    if !reads_stdin {
        return Ok(());
    }
    let message = "standard input cannot hold both the data and what opens the repository";
    Err(Error::new(ErrorKind::Usage, message)
        .hint("Use `--password-file`, `--password-command` or `--key-file`."))
}

fn from_file(path: &Path, whose: &str) -> Result<Zeroizing<Vec<u8>>> {
    let cannot = |error| Error::io(format!("could not read the passphrase from {whose}"), error);
    let file = File::open(path).map_err(cannot)?;
    settle(read_secret(file, LEN_MAX + 3).map_err(cannot)?, whose)
}

/// Drops one line end and refuses what cannot be a passphrase.
fn settle(mut bytes: Zeroizing<Vec<u8>>, whose: &str) -> Result<Zeroizing<Vec<u8>>> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    verify(bytes, whose)
}

fn verify(bytes: Zeroizing<Vec<u8>>, whose: &str) -> Result<Zeroizing<Vec<u8>>> {
    let refuse = |why: &str| {
        let message = format!("the passphrase from {whose} {why}");
        Err(Error::new(ErrorKind::Usage, message))
    };
    if bytes.is_empty() {
        return refuse("is empty");
    }
    if bytes.len() as u64 > LEN_MAX {
        return refuse("is longer than 1 MiB");
    }
    if bytes.contains(&0) {
        return refuse("contains a NUL byte");
    }
    Ok(bytes)
}

fn warn_if_shared(path: &Path, ui: &Ui) {
    let Ok(metadata) = std::fs::metadata(path) else { return };
    // A pipe of `<(...)` has no meaningful mode.
    if metadata.is_file() && metadata.mode() & 0o077 != 0 {
        let shown = path.display();
        ui.warn(&format!("other users may read {shown}; `chmod 600` it"));
    }
}

fn typed(purpose: Purpose) -> Result<Zeroizing<Vec<u8>>> {
    if !std::io::stdin().is_terminal() {
        return line_of_stdin("passphrase");
    }
    let first = ask(match purpose {
        Purpose::Open => "passphrase: ",
        Purpose::Make => "new passphrase: ",
    })?;
    if purpose == Purpose::Make {
        let second = ask("the same again: ")?;
        if *first != *second {
            return Err(Error::new(ErrorKind::Usage, "the two passphrases differ"));
        }
    }
    verify(first, "the terminal")
}

fn recovery_code() -> Result<Secret> {
    let is_typed = std::io::stdin().is_terminal();
    let text = if is_typed { ask("recovery code: ")? } else { line_of_stdin("recovery code")? };
    let text = std::str::from_utf8(&text).unwrap_or_default();
    match code::from_text(CodeKind::Recovery, text) {
        Some(key) => Ok(Secret::RecoveryCode(key)),
        None => Err(Error::new(ErrorKind::WrongKey, "this is no recovery code, or it is mistyped")
            .hint("It starts with `prc1`; upper case, dashes and spaces do not matter.")),
    }
}

fn ask(prompt: &str) -> Result<Zeroizing<Vec<u8>>> {
    prompt::ask(prompt, LEN_MAX + 1).map_err(|error| match error.kind() {
        // The signal that would have ended the program is ignored, as below `nohup`.
        io::ErrorKind::Interrupted => Error::new(ErrorKind::Cancelled, "interrupted"),
        _ => Error::io("could not ask on the terminal", error),
    })
}

/// The next line of standard input, as restic reads it where there is no terminal.
fn line_of_stdin(what: &str) -> Result<Zeroizing<Vec<u8>>> {
    let cannot = |error| Error::io(format!("could not read the {what} from standard input"), error);
    let bytes = line_of(rustix::stdio::stdin(), LEN_MAX + 3).map_err(cannot)?;
    if bytes.is_empty() {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("no {what} was given, and there is no terminal to ask on"),
        )
        .hint("Use `--password-file`, `--password-command` or `--key-file`."));
    }
    settle(bytes, "standard input")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::base::testing::Marker;
    use crate::cli::args::Global;

    #[test]
    fn a_secret_that_was_loaded_leaves_nothing_behind() {
        let [marker, varied] = [Marker::new(), Marker::new()];
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("secret");
        fs::write(&path, marker.text().as_bytes()).expect("it is written");
        let key_path = scratch.path().join("key");
        let key = key_file::write_new(&key_path).expect("it is written");
        let code = Marker::of(&code::to_text(CodeKind::KeyFile, &key));
        let environment =
            Environment::of(&[("PATH", "/usr/bin:/bin"), ("PARADOS_PASSWORD", &varied.text())]);
        let ui = Ui::new(&Global::default(), &environment);
        let command = format!("cat {}", path.display()).as_str().into();
        let loaded = [
            SecretSource::File(path),
            SecretSource::Command(command),
            SecretSource::Variable,
            SecretSource::KeyFile(key_path),
        ]
        .map(|source| load(&source, Purpose::Open, &environment, &ui).expect("it is loaded"));
        let again = loaded.iter().map(duplicate).collect::<Vec<_>>();
        // The text of a key is not needed for long.
        let markers = [&marker, &varied, &code];
        assert_eq!(Marker::in_memory(markers), [true, true, false]);
        drop((environment, loaded, again));
        assert_eq!(Marker::in_memory(markers), [false; 3]);
    }

    fn settled(bytes: &[u8]) -> Result<Vec<u8>> {
        settle(Zeroizing::new(bytes.to_vec()), "x").map(|bytes| bytes.to_vec())
    }

    #[test]
    fn exactly_one_line_end_is_dropped() {
        for (typed, meant) in [
            (&b"a"[..], &b"a"[..]),
            (b"a\n", b"a"),
            (b"a\r\n", b"a"),
            (b"a\n\n", b"a\n"),
            (b" \n", b" "),
        ] {
            assert_eq!(settled(typed).expect("it is a passphrase"), meant);
        }
        for bad in [&b""[..], b"\n", b"\r\n", b"a\0b"] {
            let error = settled(bad).expect_err("it is none");
            assert_eq!(error.kind, ErrorKind::Usage);
        }
        assert!(settled(&vec![b'x'; 1 << 20]).is_ok());
        assert!(settled(&vec![b'x'; (1 << 20) + 1]).is_err());
    }

    #[test]
    fn a_secret_is_never_repeated_in_an_error() {
        let error = settled(b"hunter2\0").expect_err("it has a NUL byte");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
