//! Opening a repository with a secret; making a new one.

use std::sync::Arc;

use super::parallel::ask_all;
use super::{ConfigHead, Repository, SetAside, damaged, is_missing};
use crate::backend::{Backend, BackendError, Listed, create_verified};
use crate::base::{Clock, Error, ErrorKind, PackId, RepositoryId, Result, SlotId};
use crate::format::config::{ChunkLens, Config, ProbeRecord};
use crate::format::name::Parsed;
use crate::format::slot::{KdfCost, Label, SLOT_COUNT_MAX, SLOT_LEN, Slot, SlotKind};
use crate::format::{DecodeError, FORMAT_VERSION, ObjectKind, ObjectName, Suite};
use crate::seal::keys::{Keyring, Roots};
use crate::seal::slot::{self, Secret};
use crate::seal::{Sealed, aead, object};

/// Slots that are tried at most, the oldest first. A repository has far fewer; what is beyond was
/// planted, and must not hide the true ones.
const SLOT_TRY_COUNT_MAX: usize = 4096;

/// What a new repository is made with.
#[derive(Clone, Debug)]
pub struct Creation {
    /// How it seals; measured when absent.
    pub suite: Option<Suite>,
    /// Lengths of the content-defined chunker.
    pub chunker: ChunkLens,
    /// Length of a full pack in bytes.
    pub pack_len: u32,
    /// Cost of the first slot, if a passphrase opens it.
    pub cost: KdfCost,
}

impl Default for Creation {
    fn default() -> Self {
        Self {
            suite: None,
            chunker: ChunkLens { min: 16 << 10, avg: 64 << 10, max: 256 << 10 },
            pack_len: 16 << 20,
            cost: KdfCost::STANDARD,
        }
    }
}

/// Key slots with their labels.
pub type LabeledSlots = Vec<(Slot, Label)>;

/// Asked for a secret when it is known which kinds of slots there are.
pub type AskSecret<'a> = dyn FnMut(&[SlotKind]) -> Result<Secret> + 'a;

impl Repository {
    /// Makes a repository that each of `secrets` opens.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] when there is one already.
    pub fn create(
        backend: Arc<dyn Backend>,
        creation: &Creation,
        secrets: &[(Secret, Label)],
        clock: &dyn Clock,
    ) -> Result<Self> {
        // Slots alone are what an interrupted `init` leaves; they open nothing and do no harm.
        for kind in [ObjectKind::Config, ObjectKind::Snapshot] {
            if !list_names(&*backend, kind)?.is_empty() {
                return Err(exists(&*backend));
            }
        }
        let probe = backend.probe()?;
        let config = Config {
            version: FORMAT_VERSION,
            repository: RepositoryId::random(),
            suite: creation.suite.unwrap_or_else(aead::fastest_suite),
            epoch: 0,
            chunker: creation.chunker,
            pack_len: creation.pack_len,
            features: 0,
            created: clock.now(),
            predecessor: None,
            probe: ProbeRecord {
                create_is_exclusive: probe.create_is_refused && probe.create_is_atomic,
                list_is_immediate: probe.lists_follow_writes,
            },
        };
        let keyring = Arc::new(Keyring::new(config.repository, Roots::random()));
        let mut repository = Self {
            backend,
            keyring,
            config,
            config_head: ConfigHead::default(),
            set_aside: SetAside::new(),
        };
        // The slot comes first: a configuration that nobody can open would look like a repository.
        for (secret, label) in secrets {
            repository.add_slot(secret, creation.cost, label)?;
        }
        let name = ObjectName::config(1);
        let sealed = repository.seal(&name, &repository.config.encode());
        repository.config_head = ConfigHead { number: 1, hash: hash(&sealed) };
        match create_verified(&*repository.backend, &name, &sealed) {
            Ok(_) => Ok(repository),
            Err(BackendError::Conflict { .. }) => Err(exists(&*repository.backend)),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the repository with the secret that `ask` gives.
    ///
    /// # Errors
    /// [`ErrorKind::NoRepository`] when nothing is there, [`ErrorKind::WrongKey`] when no slot
    /// opens.
    pub fn open(backend: Arc<dyn Backend>, ask: &mut AskSecret<'_>) -> Result<Self> {
        let (slots, damaged_slots) = read_slots(&*backend)?;
        if slots.is_empty() {
            return Err(match damaged_slots.into_iter().next() {
                Some(error) => error,
                None => no_slot(&*backend)?,
            });
        }
        let kinds: Vec<SlotKind> = slots.iter().map(|slot| slot.kind).collect();
        let secret = ask(&kinds)?;
        let mut failed = None;
        for slot in &slots {
            let (id, roots) = match slot::open(slot, &secret) {
                Ok(opened) => opened,
                // The slot of another secret.
                Err(DecodeError::Forged) => continue,
                Err(error) => {
                    failed = Some(damaged(&ObjectName::key(slot.id), error));
                    continue;
                }
            };
            let keyring = Arc::new(Keyring::new(id, roots));
            match read_config(&*backend, &keyring) {
                Ok((config, config_head, set_aside)) => {
                    return Ok(Self { backend, keyring, config, config_head, set_aside });
                }
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| {
            let what = match secret.kind() {
                SlotKind::Passphrase => "wrong passphrase",
                SlotKind::KeyFile => "the key file does not belong to it",
                SlotKind::RecoveryCode => "the recovery code does not belong to it",
            };
            let message =
                format!("could not open the repository at {}: {what}", backend.location());
            Error::new(ErrorKind::WrongKey, message)
                .hint("Try again, or use another key: `--key-file`, or a recovery code.")
        }))
    }

    /// Adds a key slot.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] when there are 64 already.
    pub fn add_slot(&self, secret: &Secret, cost: KdfCost, label: &Label) -> Result<SlotId> {
        let slots = list(&*self.backend, ObjectKind::Key)?.into_iter();
        if slots.filter(|slot| slot.len == SLOT_LEN as u64).count() >= SLOT_COUNT_MAX {
            return Err(Error::new(ErrorKind::Full, "a repository has room for 64 key slots")
                .hint("Remove one with `parados key remove ID`."));
        }
        let (id, sealed) = slot::seal(&self.keyring, secret, cost, label).map_err(|error| {
            Error::new(ErrorKind::Usage, "could not make a key slot").because(error)
        })?;
        create_verified(&*self.backend, &ObjectName::key(id), &sealed)?;
        Ok(id)
    }

    /// Every slot with its label, and an error for each that cannot be read.
    ///
    /// # Errors
    /// When the slots cannot be listed.
    pub fn slots(&self) -> Result<(LabeledSlots, Vec<Error>)> {
        let (slots, mut problems) = read_slots(&*self.backend)?;
        let mut labeled = Vec::new();
        for slot in slots {
            match slot::label(&self.keyring, &slot) {
                Ok(label) => labeled.push((slot, label)),
                Err(error) => problems.push(damaged(&ObjectName::key(slot.id), error)),
            }
        }
        Ok((labeled, problems))
    }
}

/// The error for a place without a key slot.
fn no_slot(backend: &dyn Backend) -> Result<Error> {
    let location = backend.location();
    if list_names(backend, ObjectKind::Config)?.is_empty() {
        let message = format!("there is no repository at {location}");
        return Ok(Error::new(ErrorKind::NoRepository, message)
            .hint("Make one with `parados init`, or check the location."));
    }
    let message = format!("the repository at {location} has lost all its key slots");
    Ok(Error::new(ErrorKind::Damaged, message)
        .hint("Bring `keys/` back from another copy of the repository; nothing else opens it."))
}

fn exists(backend: &dyn Backend) -> Error {
    Error::new(
        ErrorKind::Exists,
        format!("there is a repository at {} already", backend.location()),
    )
    .hint("Use it as it is, or choose another location.")
}

/// Names of all objects of a kind; junk under the prefix is left out.
pub(crate) fn list_names(backend: &dyn Backend, kind: ObjectKind) -> Result<Vec<ObjectName>> {
    Ok(list(backend, kind)?.into_iter().map(|listed| listed.name).collect())
}

/// All objects of a kind; junk under the prefix is left out.
pub(crate) fn list(backend: &dyn Backend, kind: ObjectKind) -> Result<Vec<Listed>> {
    let mut all = Vec::new();
    backend.list(kind, &mut |listed| {
        if let Ok(listed) = listed {
            all.push(listed);
        }
    })?;
    Ok(all)
}

/// All packs, by their ids.
pub(crate) fn listed_packs(
    backend: &dyn Backend,
) -> Result<impl Iterator<Item = (PackId, Listed)>> {
    let listed = list(backend, ObjectKind::Pack)?.into_iter();
    Ok(listed.filter_map(|object| match object.name.parsed() {
        Parsed::Pack(id) => Some((id, object)),
        _ => None,
    }))
}

fn read_slots(backend: &dyn Backend) -> Result<(Vec<Slot>, Vec<Error>)> {
    let mut listed = list(backend, ObjectKind::Key)?;
    // The oldest first: whoever may only create objects cannot crowd out those that were there.
    listed.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
    let (whole, odd): (Vec<_>, Vec<_>) =
        listed.into_iter().partition(|listed| listed.len == SLOT_LEN as u64);
    let odd = odd.into_iter().take(SLOT_COUNT_MAX);
    let mut problems: Vec<Error> =
        odd.map(|listed| damaged(&listed.name, DecodeError::Truncated)).collect();
    let mut slots = Vec::new();
    let names: Vec<ObjectName> =
        whole.into_iter().take(SLOT_TRY_COUNT_MAX).map(|listed| listed.name).collect();
    let read = ask_all(&names, &|name| backend.get(name));
    for (name, sealed) in names.into_iter().zip(read) {
        let sealed = match sealed {
            Ok(sealed) => sealed,
            Err(error) if is_missing(&error) => continue,
            Err(error) => {
                problems.push(error.into());
                continue;
            }
        };
        match Slot::decode(sealed.bytes()) {
            Ok(slot) if name.parsed() == Parsed::Key(slot.id) => slots.push(slot),
            Ok(_) => problems.push(damaged(&name, DecodeError::Id)),
            Err(error) => problems.push(damaged(&name, error)),
        }
    }
    Ok((slots, problems))
}

fn hash(sealed: &Sealed) -> [u8; 32] {
    *blake3::hash(sealed.bytes()).as_bytes()
}

/// Reads every configuration in order; the highest that opens holds. One that does not open is set
/// aside, and so is one that is not what its successor says it was.
///
/// # Errors
/// When none opens; for one that is authentic and demands what this program lacks, as that of a
/// repository in a later format does. A bare claim to be of one is anybody's.
fn read_config(backend: &dyn Backend, keyring: &Keyring) -> Result<(Config, ConfigHead, SetAside)> {
    let mut numbers: Vec<u64> = list_names(backend, ObjectKind::Config)?
        .into_iter()
        .filter_map(|name| match name.parsed() {
            Parsed::Config(number) => Some(number),
            _ => None,
        })
        .collect();
    numbers.sort_unstable();
    let mut set_aside = SetAside::new();
    let mut holds = None;
    // The object before, whether it opens or not.
    let mut before: Option<ConfigHead> = None;
    for number in numbers {
        let name = ObjectName::config(number);
        let sealed = match backend.get(&name) {
            Ok(sealed) => sealed,
            Err(BackendError::Damaged { .. }) => {
                set_aside.push((name, DecodeError::Limit));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let head = ConfigHead { number, hash: hash(&sealed) };
        match object::open(keyring, &name, &sealed) {
            Ok(body) => {
                let config = Config::decode(&body).map_err(|error| damaged(&name, error))?;
                if config.repository != keyring.repository() {
                    return Err(damaged(&name, DecodeError::Inconsistent));
                }
                let predecessor = before.filter(|b| number > 1 && b.number + 1 == number);
                let expected = predecessor.as_ref().map(|head| &head.hash[..]);
                if config.predecessor.as_deref() != expected {
                    let altered = ObjectName::config(number.saturating_sub(1).max(1));
                    if set_aside.last().is_none_or(|(name, _)| *name != altered) {
                        set_aside.push((altered, DecodeError::Inconsistent));
                    }
                }
                holds = Some((config, head));
            }
            Err(error) => set_aside.push((name, error)),
        }
        before = Some(head);
    }
    match (holds, set_aside.first()) {
        (Some((config, head)), _) => Ok((config, head, set_aside)),
        (None, Some((name, error))) => Err(damaged(name, *error)),
        (None, None) => {
            let message =
                format!("config/1 of the repository at {} is missing", backend.location());
            let is_used = !list_names(backend, ObjectKind::Snapshot)?.is_empty();
            Err(Error::new(ErrorKind::Damaged, message).hint(match is_used {
                true => "Bring it back from another copy of the repository.",
                false => "If `parados init` was interrupted here, run it again.",
            }))
        }
    }
}
