//! Asks for a secret on the terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};

use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr,
    tcsetattr,
};
use zeroize::Zeroizing;

const INTERRUPT: u8 = 0x03;
const END_OF_FILE: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const ERASE_LINE: u8 = 0x15;
const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;

/// Prints `prompt` and reads a line that is not shown, of which `len_max` bytes are kept.
///
/// # Errors
/// When there is no terminal, or the line was broken off.
pub(crate) fn ask(prompt: &str, len_max: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    // Hidden before the prompt invites anybody to type.
    let hidden = Hidden::new(&terminal)?;
    (&terminal).write_all(prompt.as_bytes())?;
    let typed = read_line(&terminal, len_max);
    (&terminal).write_all(b"\n")?;
    drop(hidden);
    if typed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
        // As the terminal would have done.
        kill_process(getpid(), Signal::INT)?;
    }
    typed
}

/// A terminal that shows nothing of what is typed and hands on each key, until dropped.
struct Hidden<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn new(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes -=
            LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        hidden.special_codes[SpecialCodeIndex::VMIN] = 1;
        hidden.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Now, &hidden)?;
        // What was typed before was seen on the screen, and is no secret.
        tcflush(terminal, QueueSelector::IFlush)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // There is nobody to tell: a terminal that is gone shows nothing.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Reads keys up to the end of a line.
fn read_line(mut keys: impl Read, len_max: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(len_max as usize));
    let mut next = || -> io::Result<Option<u8>> {
        let mut key = Zeroizing::new([0]);
        loop {
            match keys.read(&mut key[..]) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(key[0])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    };
    loop {
        match next()? {
            None | Some(b'\n' | b'\r') => return Ok(line),
            Some(BACKSPACE | DELETE) => {
                // A character of UTF-8 goes as a whole.
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            Some(ERASE_LINE) => line.clear(),
            Some(INTERRUPT) => return Err(io::ErrorKind::Interrupted.into()),
            Some(END_OF_FILE) if line.is_empty() => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // The key of an arrow, as in `ESC [ A`.
            Some(ESCAPE) => {
                if matches!(next()?, Some(b'[' | b'O')) {
                    while next()?.is_some_and(|byte| !(0x40..=0x7e).contains(&byte)) {}
                }
            }
            Some(key) if key < 0x20 => {}
            Some(key) if (line.len() as u64) < len_max => line.push(key),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::Marker;

    #[test]
    fn keys_that_edit_are_no_part_of_the_line() {
        for (typed, expect) in [
            (&b"horse\nmore"[..], &b"horse"[..]),
            (b"horse\r", b"horse"),
            (b"horse", b"horse"),
            (b"horst\x7fe\n", b"horse"),
            ("hors\u{e9}\x08e\n".as_bytes(), b"horse"),
            (b"\x08\x08a\n", b"a"),
            (b"wrong\x15horse\n", b"horse"),
            (b"ho\x1b[Ars\x1bOAe\x01\n", b"horse"),
            (b"ho\x1b[1;5Crse\n", b"horse"),
            (b"ho\x04rse\n", b"horse"),
            (b"123456789", b"12345678"),
        ] {
            assert_eq!(*read_line(typed, 8).expect("a line"), expect, "{typed:?}");
        }
        let broken = |typed: &[u8]| read_line(typed, 8).expect_err("no line").kind();
        assert_eq!(broken(b"hor\x03se\n"), io::ErrorKind::Interrupted);
        assert_eq!(broken(b"\x04"), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_was_typed_leaves_nothing_behind() {
        let marker = Marker::new();
        let typed = marker.text();
        let line = read_line(typed.as_bytes(), 1 << 20).expect("a line");
        // It never grew.
        assert_eq!(line.capacity(), 1 << 20);
        drop(typed);
        assert!(marker.is_in_memory());
        drop(line);
        assert!(!marker.is_in_memory());
    }
}
