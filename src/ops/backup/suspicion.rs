//! Doubts about a stream that was read to its end without a fault.

use super::source::Source;
use crate::base::size::human;
use crate::base::text::escape;
use crate::base::{Error, ErrorKind};

/// The way out for who knows better.
const HINT: &str = "If it is right, run it again with `--allow-suspect`.";

/// Why a stream of `len` bytes is not what was expected: a dump that is empty, or shorter than half
/// of the last one in order, is more often the fault of its program than of the data.
pub(super) fn about(source: &Source<'_>, len: u64, last_len: Option<u64>) -> Option<Error> {
    let Source::Stream(stream) = source else { return None };
    let path = escape(&stream.path().to_bytes());
    let why = if len == 0 {
        format!("{path} is empty")
    } else if let Some(last) = last_len.filter(|last| len < last / 2) {
        format!("{path} shrank from {} to {}", human(last), human(len))
    } else {
        return None;
    };
    Some(Error::new(ErrorKind::Damaged, format!("{why}: the snapshot is suspect")).hint(HINT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Stream, StreamPath};

    #[test]
    fn only_what_is_empty_or_lost_more_than_half_is_suspect() {
        let stream = Stream::stdin(StreamPath::parse(b"dump").expect("a path"));
        let is_suspect = |len, last| about(&Source::Stream(&stream), len, last).is_some();
        for (len, last, expect) in [
            (0, None, true),
            (0, Some(0), true),
            (1, None, false),
            (499, Some(1000), true),
            (500, Some(1000), false),
            (2000, Some(1000), false),
        ] {
            assert_eq!(is_suspect(len, last), expect, "{len} after {last:?}");
        }
    }
}
