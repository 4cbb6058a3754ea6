//! Streams with the other options of `backup`, as scripts use them.

use std::fs;
use std::process::{Command, Stdio};

use crate::world::{Answer, PROGRAM, World, look};

#[test]
fn a_command_is_stored_with_its_output_and_sees_no_secret() {
    let mut world = World::new();
    world.set("PARADOS_REPOSITORY", world.at("repository"));
    world.write("passphrase", "correct horse");
    world.ok(&["init", "-p", "passphrase", "--no-recovery-code", "-q"]);
    world.set("AWS_SECRET_ACCESS_KEY", "correct horse");
    world.set("PARADOS_PASSWORD", "correct horse");
    // The passphrase is in a file that is open at 3, from which it could be read again.
    let script = "exec \"$0\" backup -q --password-fd 3 --stdin-filename dumps/env.txt \
                  --stdin-from-command -- sh -c 'env; cat /proc/self/fd/3; cat <&3; true' \
                  3<passphrase";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, PROGRAM]);
    world.dress(&mut shell);
    let answer = Answer::of(shell.output().unwrap());
    assert_eq!(answer.code, 0, "{}", answer.err);
    world.ok(&["restore", "latest", "-t", "back", "-p", "passphrase"]);
    let seen = fs::read_to_string(world.at("back/dumps/env.txt")).unwrap();
    assert!(seen.contains("HOME=") && !seen.contains("horse"), "{seen}");
}

#[test]
fn a_failing_command_is_named_and_makes_no_snapshot() {
    let world = World::with_repository();
    let typed = ["backup", "--stdin-from-command", "--", "sh", "-c", "echo half; exit 7"];
    insta::assert_snapshot!(world.error(1, &typed), @r"
    error: the command `sh -c echo half; exit 7` failed: exit status: 7
    hint: No snapshot was made. Run the command by itself to see why; it ran without a shell.
    ");
    let typed = ["backup", "--stdin-from-command", "--", "./nowhere"];
    insta::assert_snapshot!(world.error(1, &typed), @"error: could not start the command `./nowhere`: No such file or directory (os error 2)");
    assert_eq!(world.ok(&["snapshots", "--json"]).out, "[]\n");
    assert!(world.error(2, &["backup", "--stdin-from-command"]).contains("<PATH>"));
}

#[test]
fn standard_input_is_stored_and_an_empty_one_is_suspect() {
    let world = World::with_repository();
    let answer = world.run_with("dump\n", &["backup", "--stdin", "--json"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert_eq!(answer.json().pop().unwrap()["total_bytes_processed"], 5);
    world.ok(&["restore", "latest", "-t", "back"]);
    assert_eq!(fs::read(world.at("back/stdin")).unwrap(), b"dump\n");
    let answer = world.expect(3, &["backup", "--stdin"]);
    insta::assert_snapshot!(world.stable(&answer.err), @r"
    problem: /stdin is empty: the snapshot is suspect
    hint: If it is right, run it again with `--allow-suspect`.
    ");
    assert!(answer.out.contains("1 problem: the snapshot may not hold what it should\n"));
    world.ok(&["backup", "--stdin", "--allow-suspect"]);
    for bad in [&["--stdin", "file"][..], &["--stdin", "--stdin-filename", "../x"]] {
        world.expect(2, &[&["backup"], bad].concat());
    }
}

#[test]
fn standard_input_cannot_be_data_and_passphrase() {
    let mut world = World::new();
    world.set("PARADOS_REPOSITORY", world.at("repository"));
    world.write("passphrase", "correct horse");
    world.ok(&["init", "-p", "passphrase", "--no-recovery-code", "-q"]);
    let answer = world.run_with("correct horse\ndump\n", &["backup", "--stdin"]);
    assert_eq!(answer.code, 2, "{}", answer.err);
    insta::assert_snapshot!(world.stable(&answer.err), @r"
    error: standard input cannot hold both the data and what opens the repository
    hint: Use `--password-file`, `--password-command` or `--key-file`.
    ");
    let mut child = world.command(&["backup", "--stdin", "-p", "passphrase"]);
    child.stdin(Stdio::from(fs::File::open(world.at("passphrase")).unwrap()));
    assert_eq!(Answer::of(child.output().unwrap()).code, 0);
}

#[test]
fn a_dry_run_and_an_unchanged_source_are_told_as_restic_tells_them() {
    let world = World::with_repository();
    world.source();
    let before = world.objects("");
    let answer = world.ok(&["backup", "source", "-n", "--limit-upload", "1"]);
    insta::assert_snapshot!(world.stable(&answer.out), @r"
    Files: 8 new, 0 changed, 0 unmodified
    Would add to the repository: <size> (<size> stored)
    processed 8 files, <size> in 0:01
    nothing was written
    ");
    let summary = world.ok(&["backup", "source", "--dry-run", "--json"]).json().pop().unwrap();
    assert_eq!((&summary["dry_run"], summary.get("snapshot_id")), (&true.into(), None));
    assert_eq!(world.objects(""), before);
    let error = world.error(2, &["backup", "source", "--time", "2099-01-01 00:00:00"]);
    assert!(error.contains("is later than now"), "{error}");
    let id = world.ok(&["backup", "source", "--json", "--time", "2012-11-01 22:08:41"]);
    let id = id.snapshot_id();
    let list = world.ok(&["snapshots", "--json"]).json().remove(0);
    assert_eq!(list[0]["time"], "2012-11-01T22:08:41.000000000Z");
    let skipped = ["backup", "source", "--skip-if-unchanged"];
    let answer = world.ok(&[&skipped[..], &["--json"]].concat()).json().pop().unwrap();
    assert_eq!((answer["parent"].as_str(), answer.get("snapshot_id")), (Some(&*id), None));
    let told = world.ok(&skipped).out;
    let last = world.stable(told.lines().last().unwrap());
    insta::assert_snapshot!(last, @"nothing changed since snapshot <id>: no new one was made");
    assert_eq!(world.objects("snapshots").len(), 1);
    // Nothing is made where there is nothing, either.
    let empty = World::new();
    empty.source();
    empty.expect(10, &["backup", "-n", "source"]);
    assert_eq!(fs::read_dir(empty.at("home")).unwrap().count(), 0);
}

#[test]
fn the_pack_size_is_in_mib_as_in_restic_and_a_run_may_choose_another() {
    let mut world = World::with_repository_at(None, &["--pack-size", "4"]);
    world.write("source/noise", crate::world::noise(1, 9 << 20));
    world.ok(&["backup", "source"]);
    let full = |world: &World, len: u64| {
        let packs = world.objects("packs");
        packs.iter().filter(|p| fs::metadata(p).unwrap().len() == len).count()
    };
    assert_eq!(full(&world, 4 << 20), 2);
    world.write("source/more", crate::world::noise(2, 9 << 20));
    world.ok(&["backup", "source", "--pack-size", "2M"]);
    assert_eq!((full(&world, 4 << 20), full(&world, 2 << 20)), (2, 4));
    world.set("PARADOS_PACK_SIZE", "1");
    world.write("source/again", crate::world::noise(3, 3 << 20));
    world.ok(&["backup", "source"]);
    assert!(full(&world, 1 << 20) >= 2);
    let part = format!("latest:{}", world.at("source").display());
    world.ok(&["restore", &part, "-t", "back"]);
    assert_eq!(look(&world.at("back")), look(&world.at("source")));
    world.ok(&["check", "--read-data"]);
    // Packs wait in memory, so that larger ones need more of it.
    let large = ["backup", "source", "--pack-size", "128", "--max-memory", "256M", "--force"];
    assert!(world.error(2, &large).contains("--max-memory"));
    world.set("PARADOS_PACK_SIZE", "129");
    for verb in [&["init", "-r", "other"][..], &["backup", "source"]] {
        assert!(world.error(2, verb).contains("could not use the pack size of PARADOS_PACK_SIZE"));
    }
}
