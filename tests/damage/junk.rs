//! Things that strangers put among the objects stop nobody.

use std::sync::Arc;

use bytes::Bytes;
use parados::base::{Id, SessionId};
use parados::format::slot::{KdfCost, Label, SLOT_COUNT_MAX};
use parados::format::{ObjectKind, ObjectName};
use parados::seal::slot;

use crate::world::{Case, OPERATIONS, Operation, World, look, scratch, secret};

/// Things of each kind of name that are planted at once.
const JUNK_COUNT: u64 = 300;

/// The `n`-th name under a prefix that a stranger can make up.
pub(crate) fn name(kind: ObjectKind, n: u64) -> String {
    let id = blake3::hash(&n.to_le_bytes()).to_hex().to_string();
    match kind {
        ObjectKind::Config => format!("config/{}", n + 2),
        ObjectKind::Key => format!("keys/{id}"),
        ObjectKind::Pack => format!("packs/{}/{id}", &id[..2]),
        ObjectKind::Index => format!("index/{id}-{n}-{id}"),
        ObjectKind::Session => format!("sessions/{id}/{n}"),
        ObjectKind::Snapshot => format!("snapshots/{id}"),
        ObjectKind::Tombstone => format!("tombs/{id}"),
        ObjectKind::Generation => format!("gc/{}/{}", n / 3 + 1, ["c", "b", "d"][(n % 3) as usize]),
        ObjectKind::Note => format!("notes/{id}/{n}"),
        ObjectKind::Ledger => format!("ledger/verified/{n}"),
    }
}

/// What a stranger may put there: noise, nothing, the head of an object, a slot without a lock.
pub(crate) fn junk(kind: ObjectKind, n: u64) -> Bytes {
    let mut bytes = crate::world::noise(&format!("{kind:?} {n}"), 1024);
    match n % 4 {
        0 => {}
        1 => bytes.truncate((n % 100) as usize),
        2 => bytes[..8].copy_from_slice(&[b'P', b'R', b'D', b'O', 1, 0, kind as u8, 1]),
        _ => bytes[..8].copy_from_slice(&[b'P', b'R', b'D', b'P', 1, 0, 1, 1]),
    }
    Bytes::from(bytes)
}

#[test]
fn junk_under_any_prefix_stops_nobody() {
    for kind in ObjectKind::ALL {
        for operation in OPERATIONS {
            let Some(_case) = Case::begin(format!("junk {kind:?} / {operation:?}")) else {
                continue;
            };
            let world = World::new();
            world.fill();
            let id = world.backup();
            for n in 0..JUNK_COUNT {
                let name = name(kind, n);
                assert!(ObjectName::parse(&name).is_ok());
                world.store.plant(&name, junk(kind, n));
                world.store.plant(&format!("{}junk {n}\n", kind.prefix()), junk(kind, n));
            }
            let answer = world.run(operation, id);
            assert!(answer.error.is_none(), "{}", answer.told());
            if operation == Operation::Check {
                assert!(answer.told().contains(&name(kind, 1)), "{}", answer.told());
            }
            let id = *answer.snapshots.last().unwrap_or(&id);
            let answer = world.run(Operation::Restore, id);
            assert_eq!(world.of_source(&answer.restored), look(&world.at("source")));
        }
    }
}

/// More slots than a repository may have, each of which looks like one.
#[test]
fn planted_slots_do_not_crowd_out_the_true_ones() {
    let world = World::new();
    let keyring = world.open().unwrap();
    let (_, sealed) =
        slot::seal(keyring.keyring(), &secret(), KdfCost::FLOOR, &Label::default()).unwrap();
    for n in 0..=SLOT_COUNT_MAX as u8 {
        // Ids that are listed before those of the true slots, and salts that fit no secret.
        let mut id = [0; 32];
        id[31] = n;
        let mut bytes = sealed.bytes().to_vec();
        bytes[40..72].copy_from_slice(&id);
        bytes[88] ^= 1;
        world.store.plant(ObjectName::key(Id::new(id)).as_str(), bytes);
    }
    assert!(world.open().is_ok());
    assert!(world.open_with(crate::world::spare).is_ok());
    // Nor do those that seem to be older than the true ones: these are stored in the order of names.
    let older = World::over(&world.store.contents(), &Arc::new(scratch()));
    assert!(older.open().is_ok());
    assert!(older.open_with(crate::world::spare).is_ok());
}

/// Anybody can claim to be of a later format; only an authentic config is believed.
#[test]
fn a_config_that_only_claims_to_be_newer_stops_nobody() {
    let world = World::new();
    let mut newer = world.store.contents()["config/1"].to_vec();
    newer[4..6].copy_from_slice(&2u16.to_le_bytes());
    world.store.plant("config/99", newer.clone());
    let told = world.run(Operation::Backup, SessionId::new([0; 32])).told();
    assert!(told.contains("config/99") && told.contains("newer format"), "{told}");
    // Where it is the only one, it says what to do.
    world.store.plant("config/1", newer);
    let error = world.open().map(drop).expect_err("nothing else is there");
    assert_eq!(error.kind, parados::base::ErrorKind::Unsupported);
}

/// The config that holds is the highest that opens, whatever lies above it.
#[test]
fn the_highest_authentic_config_holds() {
    let world = World::new();
    let mut config = world.open().unwrap().config().clone();
    let first = world.store.contents()["config/1"].clone();
    config.predecessor = Some(blake3::hash(&first).as_bytes().to_vec());
    config.pack_len *= 2;
    let forge = crate::forge::Forge::new(&world);
    forge.seal(&ObjectName::config(2), &config.encode());
    let pack_len = |world: &World| world.open().unwrap().config().pack_len;
    assert_eq!(pack_len(&world), config.pack_len);
    for number in [0, 3, 4, 1000, u64::MAX] {
        world.store.plant(&format!("config/{number}"), junk(ObjectKind::Config, 0));
        assert_eq!(pack_len(&world), config.pack_len, "{number}");
    }
    // An older one again, under a number that is higher.
    world.store.plant("config/3", first);
    assert_eq!(pack_len(&world), config.pack_len);
    let told = world.run(Operation::Snapshots, SessionId::new([0; 32])).told();
    assert!(told.contains("config/3") && !told.contains("config/2 "), "{told}");
}
