//! Which snapshots a person means.

use super::snapshots::{Committed, Snapshots};
use crate::base::text::escape;
use crate::base::{Error, ErrorKind, Result};
use crate::format::snapshot::Snapshot;

/// The word for the newest snapshot.
const LATEST: &str = "latest";
/// Shortest prefix of an id that selects a snapshot.
const PREFIX_LEN_MIN: usize = 4;
/// Digits of an id that an error shows at least.
const SHOWN_LEN_MIN: usize = 16;
/// Most ids that an error names.
const NAMED_COUNT_MAX: usize = 8;

/// What a snapshot must have; what is empty accepts all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these hosts.
    pub hosts: Vec<String>,
    /// All tags of one of these lists; an empty tag stands for having none.
    pub tags: Vec<Vec<String>>,
    /// All of these paths, as raw bytes.
    pub paths: Vec<Vec<u8>>,
}

impl Filter {
    /// Whether it accepts all.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.tags.is_empty() && self.paths.is_empty()
    }

    /// Whether a snapshot has what it must have.
    pub fn accepts(&self, snapshot: &Snapshot) -> bool {
        let has_tag = |tag: &String| {
            (tag.is_empty() && snapshot.tags.is_empty()) || snapshot.tags.contains(tag)
        };
        let has_path = |path: &Vec<u8>| {
            snapshot.components.iter().flat_map(|c| &c.paths).any(|own| own.0 == *path)
        };
        (self.hosts.is_empty() || self.hosts.contains(&snapshot.host))
            && (self.tags.is_empty() || self.tags.iter().any(|list| list.iter().all(has_tag)))
            && self.paths.iter().all(has_path)
    }

    /// What it asks for, for an error.
    fn describe(&self) -> String {
        let mut parts = Vec::new();
        let quoted = |texts: &[String]| {
            let shown: Vec<String> = texts.iter().map(|text| escape(text.as_bytes())).collect();
            shown.join(",")
        };
        if !self.hosts.is_empty() {
            parts.push(format!("host {}", quoted(&self.hosts)));
        }
        if !self.tags.is_empty() {
            let lists: Vec<String> = self.tags.iter().map(|list| quoted(list)).collect();
            parts.push(format!("tags {}", lists.join(" or ")));
        }
        if !self.paths.is_empty() {
            let paths: Vec<String> = self.paths.iter().map(|path| escape(path)).collect();
            parts.push(format!("paths {}", paths.join(", ")));
        }
        parts.join(", ")
    }
}

/// What selects one snapshot: a word, and for `latest` a filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// `latest`, `latest~1` for the one before it, an id, or the first digits of one.
    pub word: String,
    /// What `latest` counts.
    pub filter: Filter,
}

impl Selector {
    /// Whether the filter and the clock have a say in it.
    pub fn is_latest(&self) -> bool {
        self.word.split('~').next() == Some(LATEST)
    }
}

impl From<String> for Selector {
    fn from(word: String) -> Self {
        Self { word, filter: Filter::default() }
    }
}

impl From<&str> for Selector {
    fn from(word: &str) -> Self {
        word.to_owned().into()
    }
}

impl Snapshots {
    /// The snapshot that is meant. One that lies ahead of the clock is found by its id only.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] or [`ErrorKind::Usage`], with what there is.
    pub fn select(&self, selector: &Selector) -> Result<&Committed> {
        if selector.is_latest() {
            let steps = steps_back(&selector.word)?;
            return self.latest(steps, &selector.filter);
        }
        self.by_id(&selector.word)
    }

    fn latest(&self, steps: usize, filter: &Filter) -> Result<&Committed> {
        let accepted = || self.present().iter().filter(|c| filter.accepts(&c.snapshot));
        if let Some(found) = accepted().rev().nth(steps) {
            return Ok(found);
        }
        let not_found = |message: String| Error::new(ErrorKind::NotFound, message);
        let count = accepted().count();
        Err(if count > 0 {
            let there = if count == 1 {
                "is only 1 snapshot"
            } else {
                &format!("are only {count} snapshots")
            };
            not_found(format!("latest~{steps} goes back too far: there {there}"))
                .hint(format!("The oldest is `latest~{}`.", count - 1))
        } else if !self.all.is_empty() && !filter.is_empty() {
            not_found(format!("there is no snapshot with {}", filter.describe()))
                .hint("List what there is with `parados snapshots --host \"\"`.")
        } else if !self.all.is_empty() {
            Error::new(ErrorKind::Clock, "every snapshot is dated later than now")
                .hint("Check the clock of this host, or select one by its id.")
        } else if self.unreadable_count > 0 {
            not_found("no snapshot can be read".to_owned())
                .hint("Run `parados check` to see what is damaged.")
        } else {
            not_found("there is no snapshot yet".to_owned())
                .hint("Make one with `parados backup PATH`.")
        })
    }

    fn by_id(&self, word: &str) -> Result<&Committed> {
        let is_prefix = word.len() >= PREFIX_LEN_MIN
            && word.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let matching: Vec<&Committed> = if is_prefix {
            self.all.iter().filter(|c| c.id.to_hex().starts_with(word)).collect()
        } else {
            Vec::new()
        };
        let shown = escape(word.as_bytes());
        match matching[..] {
            [one] => Ok(one),
            [] => Err(Error::new(ErrorKind::NotFound, format!("there is no snapshot {shown}"))
                .hint("List them with `parados snapshots`; four or more digits of an id will do.")),
            _ => {
                let named: Vec<String> =
                    matching.iter().take(NAMED_COUNT_MAX).map(|c| c.id.to_hex()).collect();
                let ids = shortest(&named);
                let more = if matching.len() > NAMED_COUNT_MAX { ", ..." } else { "" };
                let count = matching.len();
                let message = format!("{shown} is ambiguous: {count} snapshots start so");
                Err(Error::new(ErrorKind::Usage, message)
                    .hint(format!("Give more digits: {}{more}.", ids.join(", "))))
            }
        }
    }
}

/// The starts of some ids, as long as it takes to tell them apart.
fn shortest(ids: &[String]) -> Vec<&str> {
    let len_max = ids.first().map_or(0, String::len);
    let starts = |len: usize| ids.iter().map(|id| &id[..len.min(id.len())]).collect::<Vec<_>>();
    let differ = |len: &usize| {
        let mut seen = std::collections::HashSet::new();
        starts(*len).into_iter().all(|start| seen.insert(start))
    };
    let len = (SHOWN_LEN_MIN..len_max).find(differ).unwrap_or(len_max);
    starts(len)
}

/// How far before the newest one `latest` or `latest~N` is.
fn steps_back(word: &str) -> Result<usize> {
    let Some((_, number)) = word.split_once('~') else { return Ok(0) };
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    number.parse().ok().filter(|_| is_number).ok_or_else(|| {
        let shown = escape(word.as_bytes());
        Error::new(ErrorKind::Usage, format!("{shown} is no snapshot"))
            .hint("Write `latest~1` for the one before the latest, `latest~2` for that before.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{SessionId, Timestamp};
    use crate::repo::testing::snapshot_of;

    const NOW: Timestamp = Timestamp::new(1_000_000, 0);

    /// A snapshot of `host` with words of `tags` and `paths`, made `age` seconds before now.
    fn snapshot(number: u8, age: i64, host: &str, tags: &str, paths: &str) -> Committed {
        let time = Timestamp::new(NOW.seconds - age, 0);
        let mut snapshot = snapshot_of(time, host, paths);
        snapshot.tags = tags.split_whitespace().map(str::to_owned).collect();
        Committed { id: SessionId::new([number; 32]), snapshot }
    }

    fn snapshots(all: Vec<Committed>) -> Snapshots {
        Snapshots { all, ..Snapshots::default() }.as_of(NOW)
    }

    fn some() -> Snapshots {
        snapshots(vec![
            snapshot(1, 50, "a", "", "/x"),
            snapshot(2, 40, "a", "day", "/x /y"),
            snapshot(3, 30, "b", "day disk", "/y"),
            snapshot(4, 20, "c", "disk", "/x"),
        ])
    }

    /// The first byte of the id of what is selected, or the error.
    fn select(found: &Snapshots, word: &str, filter: Filter) -> Result<u8> {
        found.select(&Selector { word: word.to_owned(), filter }).map(|c| c.id.as_bytes()[0])
    }

    fn lists(texts: &[&str]) -> Vec<Vec<String>> {
        texts.iter().map(|text| text.split(',').map(str::to_owned).collect()).collect()
    }

    #[test]
    fn latest_counts_back_among_what_the_filter_accepts() {
        let found = some();
        let by = |word, filter: Filter| select(&found, word, filter).expect("there is one");
        let all = Filter::default();
        assert_eq!(by("latest", all.clone()), 4);
        assert_eq!(by("latest~0", all.clone()), 4);
        assert_eq!(by("latest~3", all.clone()), 1);
        let hosts = Filter { hosts: vec!["a".into(), "b".into()], ..all.clone() };
        assert_eq!(by("latest", hosts.clone()), 3);
        assert_eq!(by("latest~2", hosts), 1);
        let tags = |texts: &[&str]| Filter { tags: lists(texts), ..Filter::default() };
        assert_eq!(by("latest", tags(&["day"])), 3);
        assert_eq!(by("latest~1", tags(&["day"])), 2);
        assert_eq!(by("latest", tags(&["day,disk"])), 3);
        assert_eq!(by("latest", tags(&["day,disk", "disk"])), 4);
        assert_eq!(by("latest", tags(&[""])), 1);
        let paths = |paths: &[&str]| Filter {
            paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
            ..Filter::default()
        };
        assert_eq!(by("latest", paths(&["/y"])), 3);
        assert_eq!(by("latest", paths(&["/x", "/y"])), 2);
        let both = Filter { hosts: vec!["a".into()], tags: lists(&["day"]), paths: Vec::new() };
        assert_eq!(by("latest", both), 2);
    }

    #[test]
    fn what_is_not_there_is_an_error_with_a_way_out() {
        let found = some();
        let refused = |word, filter| {
            let error = select(&found, word, filter).expect_err("there is none");
            (error.kind, error.message, error.hint.expect("a way out"))
        };
        let (kind, message, hint) = refused("latest~4", Filter::default());
        assert_eq!(kind, ErrorKind::NotFound);
        assert_eq!(message, "latest~4 goes back too far: there are only 4 snapshots");
        assert_eq!(hint, "The oldest is `latest~3`.");
        let none = Filter {
            hosts: vec!["z\u{1b}".into()],
            tags: lists(&["day,disk", "x"]),
            paths: vec![b"/q".to_vec()],
        };
        let (kind, message, _) = refused("latest", none);
        assert_eq!(kind, ErrorKind::NotFound);
        let expect = "there is no snapshot with host z\\x1b, tags day,disk or x, paths /q";
        assert_eq!(message, expect);
        for word in ["latest~", "latest~x", "latest~-1", "latest~+1", "latest~99999999999999999999"]
        {
            let (kind, message, hint) = refused(word, Filter::default());
            assert_eq!((kind, message), (ErrorKind::Usage, format!("{word} is no snapshot")));
            assert!(hint.contains("`latest~1`"), "{hint}");
        }
        for word in ["LATEST", "latestx", "dead", "", "010", "0G01", "01010101x"] {
            let (kind, message, _) = refused(word, Filter::default());
            assert_eq!(kind, ErrorKind::NotFound);
            assert_eq!(message, format!("there is no snapshot {word}"));
        }
        let empty = Snapshots::default();
        let error = select(&empty, "latest", Filter::default()).expect_err("there is none");
        assert_eq!(error.message, "there is no snapshot yet");
        let damaged = Snapshots { unreadable_count: 1, ..Snapshots::default() };
        let error = select(&damaged, "latest", Filter::default()).expect_err("there is none");
        assert_eq!(error.message, "no snapshot can be read");
    }

    #[test]
    fn an_ambiguous_id_names_what_it_could_be() {
        let like = |last| {
            let mut committed = snapshot(0xab, 10, "a", "", "/x");
            let mut id = [0xab; 32];
            id[7] = last;
            committed.id = SessionId::new(id);
            committed
        };
        let found = snapshots(vec![like(1), like(2), snapshot(0xac, 5, "a", "", "/x")]);
        let error = found.resolve("abab").expect_err("there are two");
        assert_eq!(error.kind, ErrorKind::Usage);
        assert_eq!(error.message, "abab is ambiguous: 2 snapshots start so");
        let expect = "Give more digits: ababababababab01, ababababababab02.";
        assert_eq!(error.hint.as_deref(), Some(expect));
        assert_eq!(found.resolve("ababababababab02").expect("only one").id, like(2).id);
        assert_eq!(found.resolve("acac").expect("only one").id.as_bytes()[0], 0xac);
    }

    #[test]
    fn a_snapshot_from_the_future_is_found_by_its_id_only() {
        let mut found = some();
        found.all.push(snapshot(9, -86_400, "a", "day", "/x"));
        let found = snapshots(found.all);
        let by = |word| select(&found, word, Filter::default()).expect("there is one");
        assert_eq!((by("latest"), by("latest~1"), by("0909")), (4, 3, 9));
        let alone = snapshots(vec![snapshot(9, -86_400, "a", "", "/x")]);
        let error = select(&alone, "latest", Filter::default()).expect_err("there is none");
        assert_eq!(error.message, "every snapshot is dated later than now");
        // A clock that is a little ahead of ours is no reason.
        let skewed = snapshots(vec![snapshot(8, -60, "a", "", "/x")]);
        assert_eq!(select(&skewed, "latest", Filter::default()).expect("there is one"), 8);
    }
}
