//! Files whose times say less than they seem to, because clocks tick.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::{Counts, Run, World, backup};
use crate::base::testing::skip;
use crate::base::{Clock, Timestamp};

const TEST: &str = "a file written twice in one tick";

/// Always tells the same time.
struct StoppedClock(Timestamp);

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Writes a file through memory: of many writes, the kernel notes the time of the first one only,
/// as a coarse clock does of all writes within one tick.
struct QuietWriter(Child, BufReader<ChildStdout>);

impl QuietWriter {
    fn start(path: &Path) -> Option<Self> {
        let script = "import mmap, sys\n\
            f = open(sys.argv[1], 'r+b')\n\
            m = mmap.mmap(f.fileno(), 0)\n\
            for line in sys.stdin:\n    m[0] = ord(line[0])\n    print(line[0], flush=True)";
        let mut process = Command::new("python3")
            .args(["-I", "-c", script])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let answers = BufReader::new(process.stdout.take().unwrap());
        Some(Self(process, answers))
    }

    fn write(&mut self, letter: &str) {
        let stdin = self.0.stdin.as_mut().unwrap();
        stdin.write_all(format!("{letter}\n").as_bytes()).unwrap();
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), letter);
    }
}

impl Drop for QuietWriter {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ended = self.0.wait();
    }
}

#[test]
fn a_file_whose_times_are_young_is_read_again_though_its_stat_is_the_same() {
    // A file system that never writes its pages back, which would start a new tick.
    let scratch = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = scratch.path().join("file");
    let stat = || {
        let found = fs::metadata(&path).unwrap();
        (found.ino(), found.size(), found.mtime(), found.mtime_nsec(), found.ctime_nsec())
    };
    // Two seconds are the tick of FAT, the coarsest there is.
    for (age, expected) in [(1999, "second"), (2000, "first")] {
        let world = World::new();
        fs::write(&path, "-").unwrap();
        let Some(mut writer) = QuietWriter::start(&path) else {
            return skip(TEST, "there is no python3");
        };
        writer.write("f");
        let before = stat();
        let found = fs::metadata(&path).unwrap();
        let written = Timestamp::new(found.ctime(), found.ctime_nsec() as u32);
        let backup_at = |millis: i64| {
            let nanos = written.nanos + (millis % 1000) as u32 * 1_000_000;
            let seconds = written.seconds + millis / 1000 + i64::from(nanos / 1_000_000_000);
            let clock = StoppedClock(Timestamp::new(seconds, nanos % 1_000_000_000));
            let counts = Counts::default();
            let run = Run { clock: &clock, ..counts.run() };
            let options = world.backup_options(scratch.path());
            backup::backup(&world.repository, &options, &run).unwrap();
            assert_eq!(counts.problems.count(), 0, "{:?}", counts.problems.take());
        };
        backup_at(age);
        writer.write("s");
        if stat() != before {
            return skip(TEST, "this file system notes the time of every write");
        }
        // Long after, and not so long that the snapshot lies in the future.
        backup_at(60_000);
        let (target, _) = world.restore_of(scratch.path(), "target");
        assert_eq!(fs::read(target.join("file")).unwrap(), expected.as_bytes()[..1], "{age}");
    }
}
