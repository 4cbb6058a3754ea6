//! Runs the command that prints the passphrase.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use zeroize::{Zeroize, Zeroizing};

use super::environment::Environment;
use super::secret_bytes::read_secret;
use crate::base::{Error, ErrorKind, Result, SecretText};

/// How long it may take: enough to touch a token, short enough for a run by night to fail.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `line` without a shell and returns what it prints, at most `len_max` bytes and one more.
///
/// The command may ask on the terminal; it sees no secret of our environment.
///
/// # Errors
/// When it cannot be started, fails, or takes too long.
pub(crate) fn output_of(
    line: &SecretText,
    environment: &Environment,
    len_max: u64,
) -> Result<Zeroizing<Vec<u8>>> {
    let words = Words::split(line).map_err(|error| {
        Error::new(ErrorKind::Usage, "could not read the password command").because(error)
    })?;
    let Some((program, arguments)) = words.0.split_first() else {
        return Err(Error::new(ErrorKind::Usage, "the password command is empty"));
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment.for_children())
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| {
            Error::io(format!("could not run the password command {program}"), error)
        })?;
    let read = read_all(&mut child, len_max);
    let Some(read) = read else {
        // Whatever it left behind keeps the pipe; that is not waited for.
        drop(child.kill());
        drop(child.wait());
        let seconds = PATIENCE.as_secs();
        return Err(Error::new(
            ErrorKind::Access,
            format!("the password command {program} took longer than {seconds} seconds"),
        ));
    };
    let cannot = || format!("could not read from the password command {program}");
    let output = read.map_err(|error| Error::io(cannot(), error))?;
    let status = child.wait().map_err(|error| Error::io(cannot(), error))?;
    if !status.success() {
        let message = format!("the password command {program} failed: {status}");
        return Err(Error::new(ErrorKind::Access, message)
            .hint("Run it by itself to see why; it is started without a shell."));
    }
    Ok(output)
}

/// The words of a command, one of which may be a passphrase.
struct Words(Vec<String>);

impl Words {
    fn split(line: &SecretText) -> Result<Self, shell_words::ParseError> {
        shell_words::split(line.expose()).map(Self)
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Everything on standard output, or `None` when it takes too long.
fn read_all(child: &mut Child, len_max: u64) -> Option<std::io::Result<Zeroizing<Vec<u8>>>> {
    let stdout = child.stdout.take().expect("standard output was piped");
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let read = read_secret(stdout, len_max + 1);
        // Nobody listens after the time is up.
        drop(sender.send(read));
    });
    receiver.recv_timeout(PATIENCE).ok()
}
