//! Takes leave of an evil snapshot, which may take nothing along.

use parados::base::{ErrorKind, SessionId};

use crate::world::{Answer, Operation, World};

/// Forgets `evil`, brings it back if that is possible, forgets it once more and prunes, with an
/// honest snapshot beside it that stays as it is.
pub(crate) fn part_with(world: &World, evil: SessionId) {
    let run = |operation, id| {
        let answer = world.run(operation, id);
        if let Some(error) = &answer.error {
            let is_named = matches!(error.kind, ErrorKind::Damaged | ErrorKind::Unsupported);
            assert!(is_named, "{operation:?}: {:?} {}", error.kind, answer.told());
        }
        answer
    };
    let goes_well = |answer: Answer| {
        assert!(answer.error.is_none(), "{}", answer.told());
        answer
    };
    let honest = goes_well(run(Operation::Backup, evil)).snapshots[0];
    let before = run(Operation::Restore, honest).clean().restored;
    // As long as it is there, nobody may know what it needs.
    run(Operation::Prune, evil);
    goes_well(run(Operation::Forget, evil));
    if let Some(back) = run(Operation::Unforget, evil).snapshots.first() {
        goes_well(run(Operation::Forget, *back));
    }
    goes_well(run(Operation::Prune, evil));
    let left = run(Operation::Snapshots, evil).clean().snapshots;
    assert!(left.contains(&honest) && !left.contains(&evil));
    assert_eq!(run(Operation::Restore, honest).clean().restored, before);
}
