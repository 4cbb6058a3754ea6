//! What can be done to the bytes of an object without any key.

use bytes::Bytes;

use crate::world::Contents;

/// Longer than any object may be.
const HUGE_LEN: usize = (256 << 20) + 1;

/// One way to harm an object.
pub(crate) struct Action {
    pub(crate) title: &'static str,
    /// The new bytes; nothing when the object goes.
    change: fn(&Harm<'_>) -> Option<Vec<u8>>,
    /// What of the object is left.
    pub(crate) leaves: Leaves,
}

/// What an action leaves of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// Most of its bytes, where they were.
    Most,
    /// None of its bytes.
    Nothing,
    /// Not even its name.
    NoName,
    /// Its bytes, which claim to be of a newer format.
    Newer,
}

/// An object in the repository that it belongs to.
struct Harm<'a> {
    name: &'a str,
    bytes: &'a [u8],
    contents: &'a Contents,
    stranger: &'a Contents,
}

impl Harm<'_> {
    /// The bytes of another object under the same prefix.
    fn sibling(&self, of: &Contents) -> Option<Vec<u8>> {
        let prefix = self.name.split_inclusive('/').next().unwrap();
        let found = of.iter().find(|(name, _)| name.starts_with(prefix) && *name != self.name);
        found.map(|(_, bytes)| bytes.to_vec())
    }

    fn changed(&self, change: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
        let mut bytes = self.bytes.to_vec();
        change(&mut bytes);
        Some(bytes)
    }

    fn flipped(&self, at: usize) -> Option<Vec<u8>> {
        self.changed(|bytes| bytes[at] ^= 0x10)
    }
}

/// Every action, of list A of the adversarial tests.
pub(crate) const ACTIONS: &[Action] = &[
    Action { title: "flip first", leaves: Leaves::Most, change: |h| h.flipped(0) },
    Action { title: "flip middle", leaves: Leaves::Most, change: |h| h.flipped(h.bytes.len() / 2) },
    Action { title: "flip last", leaves: Leaves::Most, change: |h| h.flipped(h.bytes.len() - 1) },
    Action { title: "empty", leaves: Leaves::Nothing, change: |_| Some(Vec::new()) },
    Action {
        title: "halve",
        leaves: Leaves::Most,
        change: |h| Some(h.bytes[..h.bytes.len() / 2].to_vec()),
    },
    Action {
        title: "cut one byte",
        leaves: Leaves::Most,
        change: |h| Some(h.bytes[..h.bytes.len() - 1].to_vec()),
    },
    Action {
        title: "extend by a byte",
        leaves: Leaves::Most,
        change: |h| h.changed(|bytes| bytes.push(0)),
    },
    Action {
        title: "extend by 1 KiB",
        leaves: Leaves::Most,
        change: |h| h.changed(|bytes| bytes.resize(bytes.len() + 1024, 0x5a)),
    },
    Action { title: "double", leaves: Leaves::Most, change: |h| Some(h.bytes.repeat(2)) },
    Action { title: "zeros", leaves: Leaves::Nothing, change: |h| Some(vec![0; h.bytes.len()]) },
    Action { title: "ones", leaves: Leaves::Nothing, change: |h| Some(vec![0xff; h.bytes.len()]) },
    Action {
        title: "swap for its like",
        leaves: Leaves::Nothing,
        change: |h| h.sibling(h.contents),
    },
    Action {
        title: "swap for another kind",
        leaves: Leaves::Nothing,
        change: |h| {
            let other = if h.name.starts_with("notes/") { "ledger/" } else { "notes/" };
            let found = h.contents.iter().find(|(name, _)| name.starts_with(other));
            found.map(|(_, bytes)| bytes.to_vec())
        },
    },
    Action {
        title: "swap for that of another repository",
        leaves: Leaves::Nothing,
        change: |h| h.sibling(h.stranger),
    },
    Action {
        title: "newer version",
        leaves: Leaves::Newer,
        change: |h| h.changed(|bytes| bytes[4] = 2),
    },
    Action {
        title: "unknown suite, kind or lock",
        leaves: Leaves::Most,
        change: |h| h.changed(|bytes| bytes[7] = 9),
    },
    Action {
        title: "other epoch",
        leaves: Leaves::Most,
        change: |h| h.changed(|bytes| bytes[8] = 7),
    },
    Action { title: "huge", leaves: Leaves::Nothing, change: |_| Some(vec![0; HUGE_LEN]) },
    Action { title: "remove", leaves: Leaves::NoName, change: |_| None },
];

impl Action {
    /// The repository with one object harmed.
    pub(crate) fn apply(&self, name: &str, contents: &Contents, stranger: &Contents) -> Contents {
        let harm = Harm { name, bytes: &contents[name], contents, stranger };
        let mut harmed = contents.clone();
        match (self.change)(&harm) {
            Some(bytes) => harmed.insert(name.to_owned(), Bytes::from(bytes)),
            None if self.leaves == Leaves::NoName => harmed.remove(name),
            None => panic!("the repository has no second object like {name}"),
        };
        harmed
    }
}
