//! The ways of a passphrase into the program, none of them out of it.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::world::{Answer, PROGRAM, World, has, skip};

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
    // The same by a pipe.
    let mut shell = Command::new("sh");
    let pipe = "printf 'correct horse' | \"$0\" snapshots --password-fd 0";
    shell.args(["-c", pipe, PROGRAM]);
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
fn variables_name_the_file_or_the_command() {
    let mut world = World::new();
    world.set("PARADOS_REPOSITORY", world.at("repository"));
    let file = world.write("passphrase", "correct horse");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    world.set("PARADOS_PASSWORD_FILE", &file);
    world.ok(&["init", "--no-recovery-code"]);
    world.ok(&["snapshots"]);
    world.unset("PARADOS_PASSWORD_FILE");
    world.set("PARADOS_PASSWORD_COMMAND", "cat passphrase");
    world.ok(&["snapshots"]);
    world.set("PARADOS_PASSWORD_COMMAND", "echo wrong");
    world.expect(12, &["snapshots"]);
}

/// The program on a terminal of its own, to which `typed` is typed one line for each prompt.
fn type_to(world: &World, arguments: &str, typed: &[&str]) -> (i32, String) {
    let mut command = Command::new("script");
    command.args(["-qec", &format!("{PROGRAM} {arguments}"), "/dev/null"]);
    world.dress(&mut command);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut seen = Vec::new();
    let mut lines = typed.iter();
    let mut part = [0; 256];
    let mut prompts = 0;
    loop {
        let len = stdout.read(&mut part).unwrap_or(0);
        if len == 0 {
            break;
        }
        seen.extend_from_slice(&part[..len]);
        let shown = String::from_utf8_lossy(&seen);
        // A prompt ends without a new line; the terminal has stopped to echo before it is there.
        let count = shown.matches(": ").count();
        if shown.ends_with(": ") && count > prompts {
            prompts = count;
            if let Some(line) = lines.next() {
                stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
            }
        }
    }
    drop(stdin);
    let code = child.wait().unwrap().code().unwrap_or(-1);
    (code, String::from_utf8_lossy(&seen).into_owned())
}

#[test]
fn a_passphrase_is_typed_unseen_and_twice_for_a_new_repository() {
    if !has("script") {
        return skip("a_passphrase_is_typed_unseen", "there is no program `script`");
    }
    let mut world = World::new();
    world.set("PARADOS_REPOSITORY", world.at("repository"));
    let init = "init --no-recovery-code";
    let (code, shown) = type_to(&world, init, &["correct horse", "another one"]);
    assert!(code == 2 && !world.at("repository/config/1").exists(), "{code}: {shown}");
    let (code, shown) = type_to(&world, init, &["correct horse", "correct horse"]);
    assert!(code == 0 && !shown.contains("horse"), "{code}: {shown}");
    // Ctrl-C ends the program, and not only the prompt.
    let (code, shown) = type_to(&world, "snapshots", &["correct\x03"]);
    assert!(code == 130 && !shown.contains("correct"), "{code}: {shown}");
    let (code, shown) = type_to(&world, "snapshots", &["wrong", "correct horses\x7f"]);
    assert!(code == 0 && shown.contains("wrong passphrase"), "{code}: {shown}");
    assert!(!shown.contains("horse"), "{shown}");
}

/// How a file spells a passphrase, what it means, and something else that is close to it.
struct Odd {
    spelled: Vec<u8>,
    meant: Vec<u8>,
    other: Vec<u8>,
}

/// 80: one line end is dropped, and all else counts, whatever it is.
#[test]
fn odd_passphrases_mean_their_bytes_wherever_they_come_from() {
    let long = vec![b'x'; 1 << 20];
    let odd = |spelled: &[u8], meant: &[u8], other: &[u8]| Odd {
        spelled: spelled.to_vec(),
        meant: meant.to_vec(),
        other: other.to_vec(),
    };
    let cases = [
        odd(b"a line\n\n", b"a line\n", b"a line"),
        odd(b"returns\r\n", b"returns", b"returns\r"),
        odd(b"no text \xff\xfe\n", b"no text \xff\xfe", "no text \u{fffd}\u{fffd}".as_bytes()),
        odd(&long, &long, &long[1..]),
    ];
    for Odd { spelled, meant, other } in cases {
        let mut world = World::with_repository();
        for (name, bytes) in [("spelled", &spelled), ("meant", &meant), ("other", &other)] {
            let path = world.write(name, bytes);
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        world.ok(&["key", "add", "--new-password-file", "spelled"]);
        world.unset("PARADOS_KEY_FILE");
        world.ok(&["snapshots", "-p", "spelled"]);
        // The variable has no line end to drop; of a MiB, no system lets one be.
        let given = |bytes: &[u8], name: &str, code: i32| {
            if bytes.len() < 1000 {
                let mut command = world.command(&["snapshots"]);
                command.env("PARADOS_PASSWORD", OsStr::from_bytes(bytes));
                let answer = Answer::of(command.output().unwrap());
                assert_eq!(answer.code, code, "{}", answer.err);
            } else {
                world.expect(code, &["snapshots", "--password-command", &format!("cat {name}")]);
            }
        };
        given(&meant, "meant", 0);
        given(&other, "other", 12);
    }
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
