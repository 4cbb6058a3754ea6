//! A stream that is read once, from its start to its end: standard input, or what a command prints.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use rustix::process::{Pid, Signal, kill_process};

use super::owners::Owners;
use super::path::SourcePath;
use crate::base::text::escape;
use crate::base::{Cancel, Error, ErrorKind, Result};
use crate::format::entry::{Entry, EntryKind, validate_name};

/// Time between two looks for a request to stop, while nothing comes.
const LOOK: Duration = Duration::from_millis(100);
/// Longest pause between two looks whether a command has ended.
const PAUSE_MAX: Duration = Duration::from_millis(50);
/// Time that a command has to end by itself when its output is no longer wanted.
const GRACE: Duration = Duration::from_secs(2);

/// Who may read what was a stream: dumps hold secrets, and nobody said otherwise.
const FILE_MODE: u32 = 0o600;
/// The same for the directories on the way to it.
const DIRECTORY_MODE: u32 = 0o755;

/// What to read, and the name that it is stored under.
#[derive(Clone, Debug)]
pub struct Stream {
    path: StreamPath,
    origin: Origin,
}

#[derive(Clone, Debug)]
enum Origin {
    Stdin,
    Command { words: Vec<OsString>, environment: Vec<(OsString, OsString)> },
}

/// The absolute path that a stream is stored under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPath(Vec<Vec<u8>>);

impl StreamPath {
    /// Reads a path; it starts at `/` with or without a slash.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for one that names no file.
    pub fn parse(path: &[u8]) -> Result<Self> {
        let refuse = || {
            let shown = escape(path);
            Error::new(ErrorKind::Usage, format!("could not store a stream as {shown:?}"))
                .hint("Give a name such as `dump.sql`, or a path without `..`.")
        };
        let names: Vec<Vec<u8>> = path
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty() && *name != b".")
            .map(<[u8]>::to_vec)
            .collect();
        let is_sound = names.iter().all(|name| validate_name(name).is_ok());
        let is_short = names.len() <= super::path::DEPTH_MAX;
        if names.is_empty() || path.ends_with(b"/") || !is_sound || !is_short {
            return Err(refuse());
        }
        Ok(Self(names))
    }

    /// The components, at least one.
    pub fn names(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// The raw bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let top = SourcePath::new(b"/");
        self.0.iter().fold(top, |path, name| path.join(name)).to_bytes()
    }
}

impl Stream {
    /// Standard input of this process.
    pub fn stdin(path: StreamPath) -> Self {
        Self { path, origin: Origin::Stdin }
    }

    /// What a command prints on its standard output. `words` are the program with its arguments,
    /// `environment` all that it sees of ours.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] without a program.
    pub fn command(
        path: StreamPath,
        words: Vec<OsString>,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Self> {
        if words.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "no command was given")
                .hint("Write it behind two dashes: `-- pg_dump mydb`."));
        }
        Ok(Self { path, origin: Origin::Command { words, environment } })
    }

    /// The path that it is stored under.
    pub fn path(&self) -> &StreamPath {
        &self.path
    }

    /// The word for what it comes from: the kind of its component.
    pub fn kind(&self) -> &'static str {
        match &self.origin {
            Origin::Stdin => "stdin",
            Origin::Command { .. } => "command",
        }
    }

    /// Describes it as a file of the user of this process, together with the directories on the way
    /// to it, outermost first. Content and size are the reader's to set.
    ///
    /// There is no time in it: a stream has none but that of the snapshot, and so the same content
    /// is the same tree.
    pub fn describe(&self, owners: &Owners) -> (Entry, Vec<Entry>) {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let entry = |name: &[u8], kind, mode| {
            let mut entry = Entry::new(name, kind);
            entry.mode = mode;
            (entry.uid, entry.gid) = (uid, gid);
            (entry.user, entry.group) = (owners.user(uid), owners.group(gid));
            entry
        };
        let (name, parents) = self.path.0.split_last().expect("a path has a name");
        let parents = parents.iter().map(|n| entry(n, EntryKind::Directory, DIRECTORY_MODE));
        (entry(name, EntryKind::File, FILE_MODE), parents.collect())
    }

    /// Starts to read it; a command runs from now on.
    ///
    /// # Errors
    /// Names the command that cannot be started.
    pub fn open(&self) -> Result<OpenStream> {
        let (words, environment) = match &self.origin {
            Origin::Stdin => {
                let cannot = |error| Error::io("could not read standard input", error);
                let pipe = io::stdin().as_fd().try_clone_to_owned().map_err(cannot)?;
                let name = "standard input".to_owned();
                return Ok(OpenStream { pipe: Some(pipe), child: None, name });
            }
            Origin::Command { words, environment } => (words, environment),
        };
        let name = format!("the command `{}`", shown(words));
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .env_clear()
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| Error::io(format!("could not start {name}"), error))?;
        let pipe = child.stdout.take().expect("standard output was piped");
        Ok(OpenStream { pipe: Some(pipe.into()), child: Some(child), name })
    }
}

/// A stream that is being read. Dropped before its end, it stops the command behind it.
pub struct OpenStream {
    pipe: Option<OwnedFd>,
    child: Option<Child>,
    /// What it is, for messages.
    name: String,
}

impl OpenStream {
    /// Fills `buffer`, waiting for what is to come; less only at the end.
    ///
    /// # Errors
    /// As the operating system says, and [`ErrorKind::Cancelled`].
    pub fn fill(&mut self, buffer: &mut [u8], cancel: &Cancel) -> Result<usize> {
        let pipe = self.pipe.as_ref().expect("it is open until it is finished");
        let cannot =
            |errno: Errno| Error::io(format!("could not read {}", self.name), errno.into());
        let mut filled = 0;
        while filled < buffer.len() {
            wait(pipe, cancel, cannot)?;
            match read(pipe, &mut buffer[filled..]) {
                Ok(0) => break,
                Ok(len) => filled += len,
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return Err(cannot(errno)),
            }
        }
        Ok(filled)
    }

    /// Waits for the command behind it, if there is one, and says whether it succeeded.
    ///
    /// # Errors
    /// Names the command with its exit status, also when it was killed.
    pub fn finish(mut self, cancel: &Cancel) -> Result<()> {
        cancel.check()?;
        // One that goes on printing after it closed its output has nothing more to say.
        drop(self.pipe.take());
        let Some(child) = &mut self.child else { return Ok(()) };
        let mut pause = Duration::from_millis(1);
        let status = loop {
            let looked = child.try_wait();
            let cannot = |error| Error::io(format!("could not wait for {}", self.name), error);
            if let Some(status) = looked.map_err(cannot)? {
                break status;
            }
            cancel.check()?;
            thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        };
        self.child = None;
        judge(&self.name, status)
    }
}

fn judge(name: &str, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Access, format!("{name} failed: {status}")).hint(
        "No snapshot was made. Run the command by itself to see why; it ran without a shell.",
    ))
}

/// Waits until there is something to read, or the end.
fn wait(pipe: &OwnedFd, cancel: &Cancel, cannot: impl Fn(Errno) -> Error) -> Result<()> {
    let look = Timespec::try_from(LOOK).expect("it is short");
    loop {
        cancel.check()?;
        match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&look)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(cannot(errno)),
        }
    }
}

/// A command as it was typed, for messages.
fn shown(words: &[OsString]) -> String {
    let words: Vec<String> = words.iter().map(|word| escape(word.as_encoded_bytes())).collect();
    words.join(" ")
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // Who writes on finds the pipe closed, and who waits is told.
        drop(self.pipe.take());
        let _gone = kill_process(Pid::from_child(&child), Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            match child.try_wait() {
                Ok(None) => thread::sleep(PAUSE_MAX),
                _ => return,
            }
        }
        drop(child.kill());
        drop(child.wait());
    }
}

impl fmt::Debug for OpenStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenStream of {}", self.name)
    }
}
