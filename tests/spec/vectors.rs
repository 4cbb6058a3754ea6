//! Every vector of the document holds.

use std::collections::BTreeSet;

use crate::check;
use crate::document::{self, Case};

/// The document.
pub(crate) const DOCUMENT: &str = include_str!("../../docs/format.md");

/// Says what is wrong with a case.
fn fault(case: &Case) -> Result<(), String> {
    let result = check::run(case);
    match (result, case.error()) {
        (Err(error), Some(expected)) => {
            let found = check::variant(&error);
            if found != expected {
                return Err(format!("refused as {found} instead of {expected}"));
            }
            match case.unasked().find(|(.., own)| *own) {
                Some((key, ..)) => Err(format!("`{key}` is not understood")),
                None => Ok(()),
            }
        }
        (Err(error), None) => Err(format!("refused: {error:?}")),
        (Ok(_), Some(expected)) => Err(format!("taken instead of refused as {expected}")),
        (Ok(facts), None) => {
            for (key, value, _) in case.unasked() {
                let found: Vec<_> = facts.iter().filter(|(name, _)| *name == key).collect();
                if found.is_empty() {
                    return Err(format!("`{key}` is not understood"));
                }
                if !found.iter().any(|(_, found)| flat(found) == flat(value)) {
                    return Err(format!("`{key}` is {found:?}, not {value:?}"));
                }
            }
            Ok(())
        }
    }
}

/// Long values are broken into lines anywhere.
fn flat(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[test]
fn every_vector_holds() {
    let cases = document::cases(DOCUMENT);
    assert!(cases.len() > 200, "the vectors were found");
    let faults: Vec<_> = cases
        .iter()
        .filter_map(|case| fault(case).err().map(|what| format!("{case}: {what}")))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_section_refuses_at_least_as_much_as_it_takes() {
    let cases = document::cases(DOCUMENT);
    let rows = document::decoders(DOCUMENT);
    assert!(rows.len() > 15, "the table was found");
    let sections: BTreeSet<_> = rows.iter().map(|[section, ..]| section.as_str()).collect();
    for section in sections {
        let (valid, invalid): (Vec<_>, Vec<_>) =
            cases.iter().filter(|c| c.section == section).partition(|c| c.error().is_none());
        assert!(!valid.is_empty(), "{section} has no valid vector");
        let (valid, invalid) = (valid.len(), invalid.len());
        assert!(invalid >= valid, "{section}: {valid} valid vectors, {invalid} invalid ones");
    }
}

/// Cases with one planted fault each.
#[test]
fn a_wrong_vector_is_noticed() {
    let check = |lines: &[(&str, &str)], expect: &str| {
        let lines: Vec<_> = lines.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        let what = fault(&Case::new("name", "planted", &lines)).unwrap_err();
        assert!(what.contains(expect), "{what}");
    };
    check(&[("text", "config/1"), ("kind", "2")], "`kind` is");
    check(&[("text", "config/1"), ("kin", "1")], "`kin` is not understood");
    check(&[("text", "config/1"), ("error", "Name")], "taken instead of refused");
    check(&[("text", "config/01"), ("error", "Limit")], "refused as Name");
    check(&[("text", "config/01"), ("error", "Name"), ("n", "1")], "`n` is not understood");
    check(&[("text", "config/01")], "refused: Name");
}
