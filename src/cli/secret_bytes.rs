//! Reads secret bytes so that no copy of them stays behind.

use std::io::{self, Read};
use std::os::fd::BorrowedFd;

use zeroize::Zeroizing;

/// More than a read into the spare room of a buffer asks for at its end.
const PROBE_LEN: usize = 64;

/// Everything there is, at most `len_max` bytes.
///
/// # Errors
/// As the source says.
pub(crate) fn read_secret(source: impl Read, len_max: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for all of it at once: growing would leave what was read so far where it was.
    let mut bytes = Zeroizing::new(Vec::with_capacity(len_max as usize + PROBE_LEN));
    source.take(len_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The next line with its end, at most `len_max` bytes. Whatever comes behind it is left to others,
/// and no buffer of the standard library sees it.
///
/// # Errors
/// As the source says.
pub(crate) fn line_of(source: BorrowedFd<'_>, len_max: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(len_max as usize));
    let mut byte = Zeroizing::new([0]);
    while (bytes.len() as u64) < len_max && bytes.last() != Some(&b'\n') {
        if rustix::io::retry_on_intr(|| rustix::io::read(source, &mut byte[..]))? == 0 {
            break;
        }
        bytes.push(byte[0]);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;

    use super::*;
    use crate::base::testing::Marker;

    #[test]
    fn what_was_read_leaves_nothing_behind() {
        let [whole, first, second] = [Marker::new(), Marker::new(), Marker::new()];
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("secret");
        let open = |text: &[&str]| {
            let text = Zeroizing::new(text.concat());
            fs::write(&path, text.as_bytes()).expect("it is written");
            File::open(&path).expect("it is there")
        };
        // Behind it, so that a buffer that grows for it leaves the secret behind.
        let filler = "x".repeat(10_000);
        let file = open(&[&whole.text(), &filler]);
        let bytes = read_secret(&file, 1 << 20).expect("it is read");
        assert!(bytes.starts_with(whole.text().as_bytes()));
        assert_eq!(read_secret(open(&["abc"]), 2).expect("it is read")[..], *b"ab");
        let file = open(&[&first.text(), &filler, "\n", &second.text()]);
        let line = line_of(file.as_fd(), 1 << 20).expect("it is read");
        assert!(line.ends_with(b"x\n"));
        // The next line is nobody's yet.
        let markers = [&whole, &first, &second];
        assert_eq!(Marker::in_memory(markers), [true, true, false]);
        drop((bytes, line));
        assert_eq!(Marker::in_memory(markers), [false; 3]);
        let rest = line_of(file.as_fd(), 1 << 20).expect("it is read");
        assert_eq!(rest[..], *second.text().as_bytes());
    }
}
