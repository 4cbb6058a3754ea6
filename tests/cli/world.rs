//! A machine of its own for each test.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_parados");
/// Longest that one run of the program may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Nobody's number.
pub(crate) const NOBODY: u32 = 65534;

/// A scratch directory with a home of its own, where nothing of this host is seen.
pub(crate) struct World {
    scratch: TempDir,
    environment: BTreeMap<OsString, OsString>,
    wrapper: Vec<OsString>,
}

/// What the program answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    /// An empty home, and no repository.
    pub(crate) fn new() -> Self {
        let scratch = tempfile::Builder::new().prefix("parados-cli-").tempdir().unwrap();
        fs::create_dir(scratch.path().join("home")).unwrap();
        let mut world = Self { scratch, environment: BTreeMap::new(), wrapper: Vec::new() };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let home = world.at("home");
        for (name, value) in [("PATH", path.as_os_str()), ("HOME", home.as_os_str())] {
            world.set(name, value);
        }
        world.set("TZ", "UTC");
        world
    }

    /// A repository that a key file opens without being named, as no passphrase must be stretched.
    pub(crate) fn with_repository() -> Self {
        Self::with_repository_at(None, &[])
    }

    /// As [`Self::with_repository`], elsewhere and with more arguments for `init`.
    pub(crate) fn with_repository_at(place: Option<&Path>, arguments: &[&str]) -> Self {
        let mut world = Self::new();
        let place = place.map_or_else(|| world.at("repository"), Path::to_owned);
        world.set("PARADOS_REPOSITORY", place);
        world.set("PARADOS_KEY_FILE", world.at("key"));
        let mut typed = vec!["init", "--no-recovery-code"];
        typed.extend(arguments);
        world.ok(&typed);
        world
    }

    /// A path in the scratch directory.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.scratch.path().join(path)
    }

    /// Sets a variable.
    pub(crate) fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.environment.insert(name.into(), value.as_ref().into());
    }

    /// Unsets a variable.
    pub(crate) fn unset(&mut self, name: &str) {
        self.environment.remove(OsStr::new(name));
    }

    /// Runs the program as nobody from now on, who owns everything in the scratch directory.
    pub(crate) fn become_nobody(&mut self) {
        assert!(is_root());
        let owner = format!("{NOBODY}:{NOBODY}");
        let done = Command::new("chown").arg("-R").arg(owner).arg(self.scratch.path()).status();
        assert!(done.unwrap().success());
        let user = NOBODY.to_string();
        let words = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--"];
        self.wrapper = words.iter().map(OsString::from).collect();
    }

    /// Writes a file in the scratch directory.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Makes a small source with a bit of everything.
    pub(crate) fn source(&self) -> PathBuf {
        self.write("source/hello.txt", "hello\n");
        self.write("source/docs/empty", "");
        for number in 0..4 {
            self.write(&format!("source/data/{number}.bin"), noise(number, 90_000));
        }
        let link = self.at("source/docs/link");
        std::os::unix::fs::symlink("../hello.txt", link).unwrap();
        fs::hard_link(self.at("source/hello.txt"), self.at("source/docs/again")).unwrap();
        let script = self.write("source/run.sh", "#!/bin/sh\n");
        fs::set_permissions(script, fs::Permissions::from_mode(0o750)).unwrap();
        self.at("source")
    }

    /// A command with the environment of this world, started in the scratch directory.
    pub(crate) fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut words = self.wrapper.clone();
        words.push(PROGRAM.into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(arguments).current_dir(self.scratch.path());
        self.dress(&mut command);
        command
    }

    /// A command that runs a script of `tests/support` as the user of this world.
    pub(crate) fn script(&self, name: &str, arguments: &[impl AsRef<OsStr>]) -> Command {
        // The checkout may be closed to that user.
        let copy = self.at(name);
        fs::copy(support(name), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
        let mut words = self.wrapper.clone();
        words.extend([python(), "-I", "-B"].map(OsString::from));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(copy).args(arguments);
        self.dress(&mut command);
        command
    }

    /// Gives a command the environment of this world, and nothing to read.
    pub(crate) fn dress(&self, command: &mut Command) {
        command.env_clear().envs(&self.environment).current_dir(self.scratch.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    }

    /// Runs the program.
    pub(crate) fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Answer {
        Answer::of(watched(self.command(arguments).spawn().unwrap()))
    }

    /// Runs the program with something to read.
    pub(crate) fn run_with(&self, input: &str, arguments: &[impl AsRef<OsStr>]) -> Answer {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Answer::of(child.wait_with_output().unwrap())
    }

    /// Runs the program and expects all to be well.
    pub(crate) fn ok(&self, arguments: &[impl AsRef<OsStr>]) -> Answer {
        self.expect(0, arguments)
    }

    /// Runs the program and expects an exit code.
    pub(crate) fn expect(&self, code: i32, arguments: &[impl AsRef<OsStr>]) -> Answer {
        let answer = self.run(arguments);
        let typed: Vec<_> = arguments.iter().map(|a| a.as_ref().to_string_lossy()).collect();
        assert_eq!(answer.code, code, "parados {}\n{}{}", typed.join(" "), answer.out, answer.err);
        assert!(!answer.err.contains("this is a bug"), "{}", answer.err);
        answer
    }

    /// Text without what differs from run to run: this directory, ids, codes, times, sizes.
    pub(crate) fn stable(&self, text: &str) -> String {
        stable(&text.replace(&*self.scratch.path().to_string_lossy(), "<world>"))
    }

    /// Standard error of a run that is expected to fail, without what differs.
    pub(crate) fn error(&self, code: i32, arguments: &[impl AsRef<OsStr>]) -> String {
        self.stable(&self.expect(code, arguments).err)
    }

    /// Paths of the objects of a kind.
    pub(crate) fn objects(&self, kind: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut left = vec![self.at("repository").join(kind)];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { left.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }
}

/// Waits for the end, but not for ever: a run that hangs fails its test with code -1.
fn watched(child: Child) -> Output {
    let pid = Pid::from_child(&child);
    let (done, waits) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        if waits.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let _gone = kill_process(pid, Signal::KILL);
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    watchdog.join().unwrap();
    output
}

impl Answer {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Standard output as one JSON value a line.
    pub(crate) fn json(&self) -> Vec<Value> {
        json_lines(&self.out)
    }

    /// The id of the snapshot that `backup --json` made.
    pub(crate) fn snapshot_id(&self) -> String {
        let summary = self.json().pop().unwrap();
        summary["snapshot_id"].as_str().unwrap().to_owned()
    }
}

/// One JSON value a line.
pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Bytes that do not shrink and are the same in every run.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A script of `tests/support`.
pub(crate) fn support(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support").join(name)
}

/// A Python that every user of this system may run, if there is one.
pub(crate) fn python() -> &'static str {
    let system = "/usr/bin/python3";
    if Path::new(system).exists() { system } else { "python3" }
}

/// Compares two trees in all that a restore promises. Exit code 0 is equal.
pub(crate) fn compare(a: &Path, b: &Path, options: &[&str]) -> Answer {
    let mut command = Command::new(python());
    command.args(["-I", "-B"]).arg(support("same_tree.py")).args(options).arg(a).arg(b);
    Answer::of(command.output().unwrap())
}

/// Messages of the problems that a run with `--json` told.
pub(crate) fn problems(answer: &Answer) -> Vec<String> {
    let lines = json_lines(&answer.err).into_iter();
    lines.map(|line| line["error"]["message"].as_str().unwrap().to_owned()).collect()
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says past the test runner's capture that a test could not run.
pub(crate) fn skip(test: &str, why: &str) {
    let line = format!("SKIPPED: {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Whether a program is installed.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).exists())
}

/// What a tree looks like: path to kind, mode, owner, time and content. Times of directories
/// above the source are not stored, so they are not compared.
pub(crate) fn look(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_symlink() {
            format!("{:?}", fs::read_link(&path).unwrap())
        } else if metadata.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            String::new()
        } else {
            let hash = blake3::hash(&fs::read(&path).unwrap());
            format!("{hash} {} links", metadata.nlink())
        };
        let mode = metadata.mode();
        let (uid, gid) = (metadata.uid(), metadata.gid());
        let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
        let told = format!("{mode:o} {uid}:{gid} {seconds}.{nanos:09} {content}");
        seen.insert(path.strip_prefix(root).unwrap().to_owned(), told);
    }
    seen
}

/// Replaces ids by `<id>`, codes by `<code>`, times by `<time>` and sizes by `<size>`.
fn stable(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut words: Vec<String> = line.split(' ').map(stable_word).collect();
        for at in 1..words.len() {
            let unit = words[at].trim_matches(|c: char| !c.is_ascii_alphabetic()).to_owned();
            let number = words[at - 1].trim_start_matches('(').to_owned();
            if is_unit(&unit) && number.parse::<f64>().is_ok() {
                words[at - 1] = words[at - 1].replace(&number, "<size>");
                words[at] = words[at].replacen(&unit, "", 1);
            }
        }
        lines.push(words.join(" ").replace("<size> ", "<size>"));
    }
    lines.join("\n")
}

fn is_unit(word: &str) -> bool {
    matches!(word, "B" | "KiB" | "MiB" | "GiB")
}

/// Whether this is a day, a time of day, or both. An id may be all digits, and a colon may follow it.
fn is_time(word: &str) -> bool {
    let word = word.trim_end_matches([':', '.', ',']);
    let is_day = word.as_bytes().get(4) == Some(&b'-');
    let is_clock = word.as_bytes().get(2) == Some(&b':');
    let is_number = word.starts_with(|c: char| c.is_ascii_digit());
    let is_made_of = |c: char| c.is_ascii_digit() || "-:.T".contains(c);
    word.len() >= 8 && is_number && (is_day || is_clock) && word.chars().all(is_made_of)
}

fn stable_word(word: &str) -> String {
    if word.starts_with("prc1-") {
        return "<code>".to_owned();
    }
    if is_time(word) {
        return "<time>".to_owned();
    }
    let mut out = String::new();
    let mut run = String::new();
    for c in word.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() {
            run.push(c);
            continue;
        }
        let is_hex = run.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
        let is_id = is_hex && matches!(run.len(), 8 | 16 | 64);
        out.push_str(if is_id { "<id>" } else { &run });
        run.clear();
        out.push(c);
    }
    out.pop();
    out
}
