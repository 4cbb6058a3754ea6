//! After every repair there is a check finds nothing, with no more lost than was before.

use parados::base::SessionId;

use crate::actions::{ACTIONS, Leaves};
use crate::matrix::{Need, Scene, VICTIMS, Victim};
use crate::world::{Case, Contents, Operation, World};

/// Those of which a repair can mend what they cost.
fn is_mendable(victim: &Victim) -> bool {
    victim.need == Need::Files || victim.title == "index segment"
}

/// Does all that a person can do; returns what the snapshot `id` became.
fn mend(world: &World, id: SessionId) -> SessionId {
    // It records what is damaged.
    world.run(Operation::Check, id);
    for operation in [Operation::RepairIndex, Operation::RepairPacks] {
        let answer = world.run(operation, id);
        assert!(answer.error.is_none(), "{operation:?}: {}", answer.told());
    }
    let repaired = world.run(Operation::RepairSnapshots, id);
    assert!(repaired.error.is_none() && repaired.problems.is_empty(), "{}", repaired.told());
    // What may be below names that are lost is had back before they go.
    let recovered = world.run(Operation::Recover, id);
    assert!(recovered.error.is_none(), "{}", recovered.told());
    for (old, _) in &repaired.torn {
        world.run(Operation::Forget, *old);
    }
    let pruned = world.run(Operation::Prune, id);
    assert!(pruned.error.is_none(), "{}", pruned.told());
    let checked = world.run(Operation::Check, id);
    assert!(checked.error.is_none() && checked.findings.is_empty(), "{}", checked.told());
    let became = repaired.torn.iter().find(|(old, _)| *old == id);
    became.map_or(id, |(_, new)| new.expect("something is left of it"))
}

fn each_case(mode: &str, check: &dyn Fn(&Scene, &Contents)) {
    let (scene, stranger) = (Scene::new(), Scene::new());
    for victim in VICTIMS.iter().filter(|victim| is_mendable(victim)) {
        // What claims to be of a newer format is left to a newer program.
        for action in ACTIONS.iter().filter(|action| action.leaves != Leaves::Newer) {
            let case = format!("{} / {} / {mode}", victim.title, action.title);
            let Some(_case) = Case::begin(case) else { continue };
            let name = (victim.name)(&scene);
            check(&scene, &action.apply(&name, &scene.contents, &stranger.contents));
        }
    }
}

#[test]
fn what_can_be_restored_after_repairs_is_what_could_be_before() {
    each_case("repair", &|scene, contents| {
        let world = World::over(contents, &scene.scratch);
        let before = world.run(Operation::Restore, scene.last);
        let id = mend(&world, scene.last);
        let after = world.run(Operation::Restore, id);
        assert!(after.error.is_none(), "{}", after.told());
        assert!(before.restored == after.restored, "{}\n{}", before.told(), after.told());
    });
}

#[test]
fn one_backup_and_repairs_make_all_whole_that_the_source_has() {
    each_case("heal", &|scene, contents| {
        let world = World::over(contents, &scene.scratch);
        world.run(Operation::Check, scene.last);
        let made = world.run(Operation::Backup, scene.last);
        assert!(made.error.is_none(), "{}", made.told());
        let id = mend(&world, made.snapshots[0]);
        assert_eq!(id, made.snapshots[0], "something of it is lost");
        let restored = world.run(Operation::Restore, id).clean();
        assert_eq!(world.of_source(&restored.restored), scene.source);
        // Nothing is left to do.
        let again = world.run(Operation::RepairPacks, id);
        assert!(again.torn.is_empty() && again.error.is_none(), "{}", again.told());
    });
}

#[test]
fn without_damage_no_repair_changes_anything() {
    let scene = Scene::new();
    let world = World::over(&scene.contents, &scene.scratch);
    let repairs = [
        Operation::RepairIndex,
        Operation::RepairPacks,
        Operation::RepairSnapshots,
        Operation::Recover,
    ];
    for operation in repairs {
        world.run(operation, scene.last).clean();
        assert!(world.store.contents() == scene.contents, "{operation:?}");
    }
}
