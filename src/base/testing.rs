//! What tests of every layer use.

use std::fs::{self, File};
use std::io::{BufRead, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

/// Tells that `test` could not run; `.ci/run` repeats such lines at its end.
pub(crate) fn skip(test: &str, why: &str) {
    // Past the test runner, which keeps what a passing test prints.
    let line = format!("SKIPPED: {test}: {why}\n");
    // A closed standard error is no reason to fail a test.
    drop(std::io::stderr().write_all(line.as_bytes()));
}

/// Bytes of a marker: more than what looking for one allocates, which could take its place. An
/// allocator writes its own lists over the first 16 of what is freed.
const MARKER_LEN: usize = 200;
/// How many of its last bytes are looked for.
const TAIL_LEN: usize = 24;
/// Lies over the bytes of a marker, so that it is not found where it is looked for.
const MASK: u8 = 0x80;
/// Bytes of memory that are looked at together.
const WINDOW_LEN: usize = 1 << 20;

/// Text that lies in the memory of this process only where somebody put it.
pub(crate) struct Marker(Vec<u8>);

impl Marker {
    /// Text that no other test and no other run has.
    pub(crate) fn new() -> Self {
        let mut bytes = [0; MARKER_LEN];
        getrandom::fill(&mut bytes).expect("the operating system's random generator works");
        Self(bytes.map(|byte| (b'a' + byte % 16) | MASK).to_vec())
    }

    /// One for text that is there already.
    pub(crate) fn of(text: &str) -> Self {
        Self(text.bytes().map(|byte| byte ^ MASK).collect())
    }

    /// The text; that of a new one is letters.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.0.len()));
        text.extend(self.0.iter().map(|byte| char::from(byte ^ MASK)));
        text
    }

    /// Whether the text lies anywhere in the memory that this process may write, but for the stack of
    /// the caller, where what a library had in its hands stays for a while.
    pub(crate) fn is_in_memory(&self) -> bool {
        let memory = File::open("/proc/self/mem").expect("a process may read its own memory");
        // One for all tests, wiped after each use: it is a copy of what others keep for a moment.
        static WINDOW: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        let mut window = WINDOW.lock().unwrap_or_else(PoisonError::into_inner);
        window.resize(WINDOW_LEN, 0);
        let found = self.is_seen_through(&mut window, &memory);
        window.fill(0);
        found
    }

    fn is_seen_through(&self, window: &mut [u8], memory: &File) -> bool {
        let own = window.as_ptr_range();
        let own = own.start as u64..own.end as u64;
        let maps = fs::read_to_string("/proc/self/maps").expect("a process has a map");
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (start, end) = line
                .split_once(' ')
                .and_then(|(range, _)| range.split_once('-'))
                .expect("a line starts with a range");
            let address = |text| u64::from_str_radix(text, 16).expect("an address is hex");
            let (mut at, end) = (address(start), address(end));
            if (at..end).contains(&(&raw const own as u64)) {
                continue;
            }
            while at < end {
                let len = WINDOW_LEN.min((end - at) as usize);
                // A region may be gone by now; it holds nothing then.
                let len = memory.read_at(&mut window[..len], at).unwrap_or(0);
                if len == 0 {
                    break;
                }
                if self.is_in(&window[..len], at, &own) {
                    return true;
                }
                // What lies across the end is seen by the next look.
                let is_last = at + len as u64 >= end;
                at += (if is_last { len } else { len.saturating_sub(TAIL_LEN).max(1) }) as u64;
            }
        }
        false
    }

    /// Whether the end of the text is in `bytes` of address `at`, elsewhere than in `own`, into
    /// which they were copied.
    fn is_in(&self, bytes: &[u8], at: u64, own: &std::ops::Range<u64>) -> bool {
        let tail = &self.0[self.0.len() - TAIL_LEN..];
        let mut rest = bytes;
        loop {
            // The one search for a byte in the standard library that is fast and tells the place.
            let skipped = rest.skip_until(tail[0] ^ MASK).expect("a slice is read");
            if skipped == 0 {
                return false;
            }
            let found = bytes.len() - rest.len() - 1;
            let candidate = bytes.get(found..found + TAIL_LEN);
            let is_same =
                |candidate: &[u8]| candidate.iter().zip(tail).all(|(a, b)| a ^ MASK == *b);
            if candidate.is_some_and(is_same) && !own.contains(&(at + found as u64)) {
                return true;
            }
        }
    }
}
