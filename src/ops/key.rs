//! Adds, lists and removes what opens a repository.

use crate::base::{Error, ErrorKind, Result, SlotId};
use crate::format::ObjectName;
use crate::format::slot::{KdfCost, Label, Slot};
use crate::repo::Repository;
use crate::repo::access::LabeledSlots;
use crate::seal::slot::{self, Secret};

/// Every slot with its label, and an error for each that cannot be read.
///
/// # Errors
/// When they cannot be listed.
pub fn list(repository: &Repository) -> Result<(LabeledSlots, Vec<Error>)> {
    let (mut slots, problems) = repository.slots()?;
    slots.sort_by_key(|(slot, label)| (label.created, slot.id));
    Ok((slots, problems))
}

/// Adds a slot that `secret` opens.
///
/// # Errors
/// [`ErrorKind::Full`] when there is no room for another.
pub fn add(repository: &Repository, secret: &Secret, label: &Label) -> Result<SlotId> {
    repository.add_slot(secret, KdfCost::STANDARD, label)
}

/// Removes the slot whose id starts with `prefix`. Whoever has a copy of it can still use it: the
/// keys inside do not change.
///
/// # Errors
/// [`ErrorKind::Usage`] for the last slot, for the one that `opened_with` opens, and for a prefix
/// of several; [`ErrorKind::NotFound`] for a prefix of none.
pub fn remove(repository: &Repository, prefix: &str, opened_with: &Secret) -> Result<SlotId> {
    let (slots, _) = repository.slots()?;
    let matching: Vec<&Slot> =
        slots.iter().map(|(slot, _)| slot).filter(|s| s.id.to_hex().starts_with(prefix)).collect();
    let slot = match matching[..] {
        [slot] if !prefix.is_empty() => slot,
        [] => {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no key slot {prefix}"))
                .hint("List them with `parados key list`."));
        }
        _ => {
            let message = format!("{prefix:?} is ambiguous: several key slots start so");
            return Err(Error::new(ErrorKind::Usage, message)
                .hint("Give more digits of the id, from `parados key list`."));
        }
    };
    if slots.len() == 1 {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("key slot {} is the last one; without it nobody can restore", slot.id.short()),
        )
        .hint("Add another first: `parados key add`."));
    }
    if slot::open(slot, opened_with).is_ok() {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("key slot {} is the one in use", slot.id.short()),
        )
        .hint("Open the repository with another key, or use `parados key passwd`."));
    }
    repository.backend().delete(&ObjectName::key(slot.id))?;
    Ok(slot.id)
}

/// Replaces the slot that `opened_with` opens by one that `new` opens; a name stays that `label`
/// does not replace.
///
/// # Errors
/// When the new slot cannot be stored; the old one is still there then.
pub fn passwd(
    repository: &Repository,
    opened_with: &Secret,
    new: &Secret,
    label: &Label,
) -> Result<SlotId> {
    let (slots, _) = repository.slots()?;
    let old: Vec<_> =
        slots.iter().filter(|(slot, _)| slot::open(slot, opened_with).is_ok()).collect();
    let mut label = label.clone();
    if let Some((_, before)) = old.first().filter(|_| label.text.is_empty()) {
        label.text.clone_from(&before.text);
    }
    let id = add(repository, new, &label)?;
    for (slot, _) in old {
        repository.backend().delete(&ObjectName::key(slot.id))?;
    }
    Ok(id)
}
