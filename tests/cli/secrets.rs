//! The ways of a passphrase into the program, none of them out of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::world::{Answer, PROGRAM, World};

#[test]
fn a_passphrase_comes_from_many_places() {
    let mut world = World::new();
    world.set("PARADOS_REPOSITORY", world.at("repository"));
    let file = world.write("passphrase", "correct horse\r\n");
    let made = world.ok(&["init", "-p", "passphrase", "--no-recovery-code"]);
    assert!(made.err.starts_with("warning: other users may read passphrase"), "{}", made.err);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    // A command, which sees neither secrets nor a shell.
    world.set("PARADOS_PASSWORD", "not this one");
    world.set("AWS_SECRET_ACCESS_KEY", "nor this one");
    let script =
        world.write("say", "#!/bin/sh\nenv > seen\necho noise >&2\necho 'correct horse'\n");
    fs::set_permissions(script, fs::Permissions::from_mode(0o700)).unwrap();
    let answer = world.ok(&["snapshots", "--password-command", "./say 'two words'"]);
    assert_eq!(answer.err, "noise\n");
    let seen = fs::read_to_string(world.at("seen")).unwrap();
    assert!(seen.contains("HOME=") && !seen.contains("this one"), "{seen}");
    // A file descriptor.
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" snapshots --password-fd 3 3<passphrase", PROGRAM]);
    world.dress(&mut shell);
    let answer = Answer::of(shell.output().unwrap());
    assert_eq!(answer.code, 0, "{}", answer.err);
    // The environment, here with a wrong one.
    insta::assert_snapshot!(world.error(12, &["snapshots"]), @r"
    error: could not open the repository at <world>/repository: wrong passphrase
    hint: Try again, or use another key: `--key-file`, or a recovery code.
    ");
}

#[test]
fn what_cannot_be_a_passphrase_is_refused() {
    let mut world = World::new();
    world.set("PARADOS_REPOSITORY", world.at("repository"));
    world.write("empty", "\n");
    world.write("nul", "a\0b");
    world.write("long", vec![b'x'; (1 << 20) + 1]);
    let cases = [
        (2, &["--password-file", "empty"][..], "the passphrase from empty is empty"),
        (2, &["--password-file", "nul"], "contains a NUL byte"),
        (2, &["--password-file", "long"], "the passphrase from long is longer than"),
        (1, &["--password-file", "nowhere"], "could not read the passphrase from nowhere"),
        (1, &["--password-fd", "77"], "from file descriptor 77"),
        (1, &["--password-command", "false"], "the password command false failed"),
        (1, &["--password-command", "/no/such"], "could not run the password command /no/such"),
        (2, &["--password-command", "'open"], "could not read the password command"),
        (2, &["--password-command", "true"], "the passphrase from the password command is empty"),
        (12, &["--key-file", "empty"], "empty is no key file"),
        (2, &[], "no passphrase was given, and there is no terminal to ask on"),
    ];
    for (code, typed, expect) in cases {
        let mut arguments = vec!["init"];
        arguments.extend(typed);
        let error = world.error(code, &arguments);
        assert!(error.contains(expect), "{typed:?}: {error}");
    }
    let both = ["init", "--password-file", "a", "--key-file", "b"];
    assert!(world.error(2, &both).contains("cannot be used with"));
}

#[test]
fn key_files_that_others_may_read_are_told() {
    let world = World::with_repository();
    fs::set_permissions(world.at("key"), fs::Permissions::from_mode(0o644)).unwrap();
    let answer = world.ok(&["snapshots"]);
    insta::assert_snapshot!(world.stable(&answer.err), @"warning: other users may read <world>/key; `chmod 600` it");
}
