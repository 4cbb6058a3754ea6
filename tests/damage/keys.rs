//! Slots, passphrases and keys that somebody else made or moved.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parados::backend::Backend;
use parados::backend::with::count::Counted;
use parados::base::{ErrorKind, RepositoryId, Result};
use parados::format::pack::{PREFIX_LEN, SALT_LEN, TRAILER_LEN};
use parados::format::slot::{BUNDLE_LEN, KdfCost, Label, Slot, fixed};
use parados::format::{ObjectName, Suite};
use parados::repo::Repository;
use parados::seal::aead;
use parados::seal::keys::Key;
use parados::seal::pack::open_header;
use parados::seal::slot::{self, Secret};

use crate::world::{Case, Operation, World, secret, spare};

/// A refusal that derives nothing takes no longer, on a busy machine either; what these costs ask for
/// takes minutes.
const AT_ONCE: Duration = Duration::from_secs(10);

fn stranger() -> Secret {
    Secret::KeyFile(Key::new([0x66; 32]))
}

fn passphrase() -> Secret {
    Secret::Passphrase(b"correct horse".to_vec().into())
}

/// The slot that `secret` opens.
fn slot_of(world: &World, secret: &Secret) -> Slot {
    let contents = world.store.contents();
    let slots = contents.iter().filter(|(name, _)| name.starts_with("keys/"));
    let mut decoded = slots.filter_map(|(_, bytes)| Slot::decode(bytes).ok());
    decoded.find(|slot| slot::open(slot, secret).is_ok()).unwrap()
}

fn plant(world: &World, slot: &Slot) {
    world.store.plant(ObjectName::key(slot.id).as_str(), slot.encode());
}

/// Seals a bundle into `slot` as the key file of this world would, with whatever the slot says.
fn seal_bundle(slot: &mut Slot, bundle: &[u8]) {
    let Secret::KeyFile(key) = secret() else { unreachable!("it is one") };
    let mut hasher = blake3::Hasher::new_derive_key("parados 2026-11-23 v1 slot secret");
    hasher.update(&[slot.kind as u8]).update(key.expose()).update(&slot.salt);
    let mut stretched = [0; 32];
    hasher.finalize_xof().fill(&mut stretched);
    let mut sealed = fixed::<BUNDLE_LEN>(bundle).to_vec();
    let clear = slot.encode_clear();
    aead::seal(Suite::ChaCha20Poly1305, &Key::new(stretched), 0, &clear, &mut sealed, 0);
    slot.bundle = sealed.try_into().unwrap();
}

/// A bundle with one root key.
fn bundle(repository: RepositoryId, root: [u8; 32]) -> Vec<u8> {
    [&repository.as_bytes()[..], &1u32.to_le_bytes(), &0u32.to_le_bytes(), &root].concat()
}

fn open(world: &World, secret: impl Fn() -> Secret) -> Result<Arc<Repository>> {
    world.open_with(secret)
}

/// 70: what a wrong secret does tells nobody which slot it failed at.
#[test]
fn every_wrong_secret_does_and_says_the_same() {
    let world = World::new();
    let mut heard = HashSet::new();
    for wrong in [[0x66; 32], [0x67; 32], [0; 32]] {
        let counted = Counted::new(Arc::clone(&world.store) as Arc<dyn Backend>);
        let backend = Arc::clone(&counted) as Arc<dyn Backend>;
        let error = Repository::open(backend, &mut |_| Ok(Secret::KeyFile(Key::new(wrong))));
        let error = error.unwrap_err();
        assert_eq!(error.kind, ErrorKind::WrongKey);
        heard.insert(format!("{error} {:?} {:?}", error.hint, counted.calls()));
    }
    assert_eq!(heard.len(), 1, "{heard:?}");
}

/// 71 to 75: slots that ask for absurd work, or for none, are set aside without doing it.
#[test]
fn absurd_slots_cost_nothing_and_hide_no_other() {
    let world = World::new();
    let keyring = Arc::clone(world.open().unwrap().keyring());
    let (id, sealed) =
        slot::seal(&keyring, &passphrase(), KdfCost::FLOOR, &Label::default()).unwrap();
    let name = ObjectName::key(id);
    let cases: &[(&str, usize, &[u8])] = &[
        ("71 memory of 8 KiB", 72, &8u32.to_le_bytes()),
        ("71 memory just below the floor", 72, &((64u32 << 10) - 1).to_le_bytes()),
        ("72 memory of 1 TiB", 72, &(1u32 << 30).to_le_bytes()),
        ("72 memory of 4 TiB", 72, &u32::MAX.to_le_bytes()),
        ("72 memory times passes", 72, &(1u32 << 22).to_le_bytes()),
        ("73 no pass", 76, &0u32.to_le_bytes()),
        ("73 four billion passes", 76, &u32::MAX.to_le_bytes()),
        ("73 no lane", 80, &0u32.to_le_bytes()),
        ("73 four billion lanes", 80, &u32::MAX.to_le_bytes()),
        ("75 no kind", 6, &[0]),
        ("75 another kind", 6, &[4]),
        ("75 a passphrase as key file", 6, &[2]),
        ("reserved bytes", 84, &[1]),
        ("reserved bytes at the end", 191, &[1]),
    ];
    for (title, offset, bytes) in cases {
        let Some(_case) = Case::begin(*title) else { continue };
        let mut slot = sealed.bytes().to_vec();
        slot[*offset..*offset + bytes.len()].copy_from_slice(bytes);
        if title.contains("times passes") {
            slot[76..80].copy_from_slice(&64u32.to_le_bytes());
        }
        world.store.plant(name.as_str(), slot);
        let started = Instant::now();
        let error = open(&world, passphrase).unwrap_err();
        assert!(started.elapsed() < AT_ONCE, "something was derived");
        assert_eq!(error.kind, ErrorKind::WrongKey, "{error}");
        assert!(open(&world, secret).is_ok() && open(&world, spare).is_ok());
        let told = world.run(Operation::Check, parados::base::Id::new([0; 32])).told();
        assert!(told.contains(name.as_str()), "{told}");
    }
    world.store.plant(name.as_str(), sealed.bytes().clone());
    assert!(open(&world, passphrase).is_ok());
}

/// 76: a slot could be made that opens under many passphrases; the commitment fits only one.
#[test]
fn a_slot_opens_only_where_its_commitment_fits() {
    let world = World::new();
    let mut slot = slot_of(&world, &secret());
    let repository = slot.repository;
    let right = slot.commitment;
    slot.commitment[0] ^= 1;
    seal_bundle(&mut slot, &bundle(repository, [1; 32]));
    assert!(slot::open(&slot, &secret()).is_err());
    // The negative: with the right commitment, the same bundle opens.
    slot.commitment = right;
    seal_bundle(&mut slot, &bundle(repository, [1; 32]));
    assert!(slot::open(&slot, &secret()).is_ok());
}

/// 77, 85: a slot or a whole repository of somebody else in our place.
#[test]
fn nothing_of_another_repository_opens() {
    let world = World::new();
    let honest = slot_of(&world, &secret());
    // A bundle of another repository inside a slot of ours.
    let mut slot = slot_of(&world, &secret());
    seal_bundle(&mut slot, &bundle(RepositoryId::new([1; 32]), [1; 32]));
    plant(&world, &slot);
    assert_eq!(open(&world, secret).unwrap_err().kind, ErrorKind::Damaged);
    // With the other repository's id outside as well it opens, and nothing here belongs to it.
    slot.repository = RepositoryId::new([1; 32]);
    seal_bundle(&mut slot, &bundle(RepositoryId::new([1; 32]), [1; 32]));
    plant(&world, &slot);
    assert_eq!(open(&world, secret).unwrap_err().kind, ErrorKind::Damaged);
    plant(&world, &honest);
    assert!(open(&world, secret).is_ok());
    // A slot of ours with root keys of somebody else.
    let mut slot = honest.clone();
    seal_bundle(&mut slot, &bundle(honest.repository, [1; 32]));
    plant(&world, &slot);
    assert_eq!(open(&world, secret).unwrap_err().kind, ErrorKind::Damaged);
    assert!(open(&world, spare).is_ok());
    assert_eq!(open(&world, stranger).unwrap_err().kind, ErrorKind::WrongKey);
}

/// A bundle is a table of keys that somebody with the secret may fill with anything.
#[test]
fn a_bundle_that_makes_no_sense_does_not_open() {
    let world = World::new();
    let honest = slot_of(&world, &secret());
    let id = honest.repository;
    let good = bundle(id, [1; 32]);
    let with = |count: u32, roots: &[u32]| {
        let roots: Vec<u8> =
            roots.iter().flat_map(|n| [&n.to_le_bytes()[..], &[1; 32]].concat()).collect();
        [&id.as_bytes()[..], &count.to_le_bytes(), &roots].concat()
    };
    for (title, bundle) in [
        ("empty", Vec::new()),
        ("21 four billion keys", with(u32::MAX, &[0])),
        ("no key", with(0, &[])),
        ("no first epoch", with(1, &[1])),
        ("the same epoch twice", with(2, &[0, 0])),
        ("epochs in no order", with(3, &[0, 2, 1])),
        ("13 keys", with(13, &(0..13).collect::<Vec<_>>())),
        ("bytes after the end", [&good[..], &[0]].concat()),
        ("half a key", good[..good.len() - 1].to_vec()),
    ] {
        let Some(_case) = Case::begin(title) else { continue };
        let mut slot = honest.clone();
        seal_bundle(&mut slot, &bundle);
        assert!(slot::open(&slot, &secret()).is_err());
    }
}

/// 79: a slot that was removed opens again when somebody brings it back. That is documented:
/// the keys inside do not change, so removing a slot revokes nothing.
#[test]
fn a_removed_slot_that_comes_back_opens_again() {
    let world = World::new();
    let slot = slot_of(&world, &secret());
    let repository = world.open_with(spare).unwrap();
    parados::ops::key::remove(&repository, &slot.id.to_hex(), &spare()).unwrap();
    assert_eq!(open(&world, secret).unwrap_err().kind, ErrorKind::WrongKey);
    plant(&world, &slot);
    assert!(open(&world, secret).is_ok());
}

/// 86: every key seals one message, so every salt under one session or kind is new. Several threads
/// seal at the same time, and one session after the other.
#[test]
fn no_salt_is_used_twice() {
    let world = World::new();
    for n in 0..60 {
        world.write(&format!("{n}.bin"), crate::world::noise(&n.to_string(), 9000));
    }
    world.backup();
    world.write("more.bin", crate::world::noise("more", 40_000));
    world.backup();
    let keyring = Arc::clone(world.open().unwrap().keyring());
    let mut salts = HashSet::new();
    let mut count = 0;
    let mut add = |salt: &[u8]| {
        count += 1;
        assert!(salt.iter().any(|byte| *byte != 0));
        assert!(salts.insert(salt.to_vec()), "a salt came twice");
    };
    for (name, bytes) in world.store.contents() {
        if name.starts_with("keys/") {
            add(&bytes[88..120]);
            add(&bytes[720..752]);
        } else if name.starts_with("packs/") {
            let header = open_header(&keyring, &bytes).unwrap();
            let mut offset = PREFIX_LEN;
            for frame in &header.frames {
                add(&bytes[offset..offset + SALT_LEN]);
                offset += frame.sealed_len as usize;
            }
            let trailer = bytes.len() - TRAILER_LEN;
            add(&bytes[trailer..trailer + SALT_LEN]);
        } else {
            add(&bytes[16..48]);
        }
    }
    assert!(count > 15, "{count} salts");
}

/// 83, 84: what names a suite or version that this program does not have is not guessed at.
#[test]
fn suites_and_versions_are_never_guessed() {
    let world = World::new();
    world.fill();
    let id = world.backup();
    let pack =
        world.store.contents().keys().find(|name| name.starts_with("packs/")).unwrap().clone();
    let whole = world.store.contents()[&pack].clone();
    for (title, offset, byte) in
        [("suite 2 for 1", 6, 2), ("suite 0", 6, 0), ("wrap 2", 7, 2), ("flags", 12, 1)]
    {
        let Some(_case) = Case::begin(title) else { continue };
        let mut bytes = whole.to_vec();
        bytes[offset] = byte;
        assert!(open_header(world.open().unwrap().keyring(), &bytes).is_err());
        world.store.plant(&pack, bytes);
        let told = world.run(Operation::Check, id).told();
        assert!(told.contains(&pack), "{told}");
    }
}
