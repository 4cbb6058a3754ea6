//! What a check found, with what to do about it.

use std::collections::BTreeMap;

use crate::base::Error;
use crate::format::{ObjectKind, ObjectName};

/// Most affected paths that a finding names.
pub(super) const AFFECTED_COUNT_MAX: usize = 20;

/// Where an object was damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Where it is stored: its bytes are not those that were put there.
    AtRest,
    /// Before it was stored: its bytes are those that were put there, and not what they should be.
    /// The memory or the processor of the machine that made it is to blame.
    Memory,
}

impl Class {
    /// The word for it in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::AtRest => "at_rest",
            Self::Memory => "memory",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The object.
    pub object: String,
    /// What is wrong with it.
    pub message: String,
    /// Where it was damaged, where that is known.
    pub class: Option<Class>,
    /// What to do.
    pub hint: String,
    /// Paths in snapshots that cannot be restored whole because of it, the first few.
    pub affected: Vec<String>,
}

/// Findings by object, in the order they came.
#[derive(Default)]
pub(super) struct Findings(BTreeMap<String, Finding>);

impl Findings {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, name: &ObjectName, message: String) -> &mut Finding {
        let object = format!("{} {name}", name.kind().noun());
        self.add_named(object, message)
    }

    pub(super) fn add_named(&mut self, object: String, message: String) -> &mut Finding {
        self.0.entry(object.clone()).or_insert_with(|| Finding {
            object,
            message,
            class: None,
            hint: String::new(),
            affected: Vec::new(),
        })
    }

    pub(super) fn add_error(&mut self, error: &Error) {
        let object = error.object.clone().unwrap_or_else(|| error.message.clone());
        let finding = self.add_named(object, cause(error));
        if let Some(hint) = &error.hint
            && !hint.contains("parados check")
        {
            finding.hint.clone_from(hint);
        }
    }

    /// As [`Self::affect`], for the object that an error is about.
    pub(super) fn affect_by(&mut self, error: &Error, path: String) {
        let object = error.object.clone().unwrap_or_else(|| error.message.clone());
        self.affect(object, &cause(error), path);
    }

    pub(super) fn affect(&mut self, object: String, message: &str, path: String) {
        let finding = self.add_named(object, message.to_owned());
        if finding.affected.len() < AFFECTED_COUNT_MAX {
            finding.affected.push(path);
        }
    }

    /// Takes back what was found of an object if no path in a snapshot is affected; whether it was.
    pub(super) fn take_back_unneeded(&mut self, name: &ObjectName) -> bool {
        let object = format!("{} {name}", name.kind().noun());
        let is_unneeded = self.0.get(&object).is_some_and(|found| found.affected.is_empty());
        is_unneeded && self.0.remove(&object).is_some()
    }

    pub(super) fn finish(self) -> Vec<Finding> {
        let mut all: Vec<Finding> = self.0.into_values().collect();
        for finding in &mut all {
            if finding.hint.is_empty() {
                finding.hint = hint(finding).to_owned();
            }
        }
        all.sort_by_key(|finding| std::cmp::Reverse(finding.affected.len()));
        all
    }
}

/// What to do about an object of which nothing better is known.
fn hint(finding: &Finding) -> &'static str {
    if !finding.affected.is_empty() {
        return "Back up the sources again, which stores anew what they still have. Of the rest `parados \
                repair packs` saves what can be read, and `parados repair snapshots` takes out what \
                cannot.";
    }
    let is = |kind: ObjectKind| finding.object.starts_with(&format!("{} ", kind.noun()));
    if is(ObjectKind::Snapshot) {
        "Bring the object back from a copy of the repository. Without it this snapshot is lost; \
         `parados recover` finds what was in it."
    } else if is(ObjectKind::Tombstone) {
        "The snapshots that it forgot are listed again; forget them once more."
    } else if is(ObjectKind::Config) || is(ObjectKind::Key) {
        "The repository opens without it. Bring it back from a copy, or remove it."
    } else if is(ObjectKind::Index) {
        "No file is lost by it: packs say themselves what they hold. `parados repair index` removes it."
    } else if is(ObjectKind::Generation) {
        "No prune relies on it; remove it."
    } else if is(ObjectKind::Note) || is(ObjectKind::Ledger) {
        "What it said is lost, and no file; remove it."
    } else {
        "No file in any snapshot is lost by it: nothing needs it, or it lies elsewhere as well."
    }
}

/// What is wrong, without the object.
pub(super) fn cause(error: &Error) -> String {
    match &error.source {
        Some(source) => source.to_string(),
        None => error.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_that_cost_files_come_first() {
        let mut findings = Findings::default();
        findings.add_named("a".into(), "odd".into());
        findings.affect("b".into(), "gone", "snapshot 1: /x".into());
        let all = findings.finish();
        assert_eq!((all[0].object.as_str(), all[1].object.as_str()), ("b", "a"));
        assert!(all[1].hint.contains("No file"));
    }
}
