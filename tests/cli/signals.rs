//! Ctrl-C, SIGTERM, SIGUSR1, closed pipes.

use std::fs;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::world::{Answer, World};

/// A backup that takes long: text that shrinks, at the slowest level.
fn long_backup(world: &World, more: &[&str]) -> Child {
    let mut text = String::new();
    let mut state = 1u64;
    while text.len() < 48 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        text.push_str(&format!("{:x} of {} lines\n", state >> 40, state % 1000));
    }
    world.write("source/long.txt", text);
    let mut typed = vec!["backup", "source", "--compression", "max"];
    typed.extend(more);
    let child = world.command(&typed).spawn().unwrap();
    wait_for_handlers(&child);
    child
}

/// Waits until the program has taken over Ctrl-C: before that it would end it.
fn wait_for_handlers(child: &Child) {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        if u64::from_str_radix(caught.trim(), 16).unwrap() & 1 << 1 != 0 {
            return;
        }
        assert!(Instant::now() < patience, "no handlers after 20 seconds");
        sleep(Duration::from_millis(5));
    }
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn the_first_ctrl_c_ends_a_backup_that_the_next_one_continues() {
    let world = World::with_repository();
    let child = long_backup(&world, &["-q"]);
    send(&child, Signal::USR1);
    sleep(Duration::from_millis(1500));
    send(&child, Signal::INT);
    let answer = Answer::of(child.wait_with_output().unwrap());
    assert_eq!(answer.code, 130, "{}", answer.err);
    let lines: Vec<&str> = answer.err.lines().collect();
    assert!(lines[0].starts_with("[0:0") && lines[0].contains(" file"), "{lines:?}");
    assert!(lines[1].starts_with("stopping: what is in flight is finished"), "{lines:?}");
    assert!(lines[2].starts_with("error: "), "{lines:?}");
    assert_eq!(world.ok(&["snapshots", "--json"]).out, "[]\n");
    world.ok(&["check", "--read-data"]);
    world.write("source/long.txt", "short now");
    world.ok(&["backup", "source"]);
}

#[test]
fn the_second_ctrl_c_leaves_at_once() {
    let world = World::with_repository();
    let mut child = long_backup(&world, &[]);
    send(&child, Signal::TERM);
    // One at a time: pending signals of different numbers are not handled in the order sent.
    sleep(Duration::from_millis(50));
    let sent = Instant::now();
    if child.try_wait().unwrap().is_none() {
        send(&child, Signal::INT);
    }
    let answer = Answer::of(child.wait_with_output().unwrap());
    assert_eq!(answer.code, 130, "{}", answer.err);
    assert!(sent.elapsed() < Duration::from_secs(5));
    world.ok(&["check"]);
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let world = World::with_repository();
    world.source();
    world.ok(&["backup", "source"]);
    for typed in [&["ls", "latest"][..], &["snapshots"], &["--help"], &["ls", "latest", "--json"]] {
        let mut child = world.command(typed).spawn().unwrap();
        drop(child.stdout.take());
        let answer = Answer::of(child.wait_with_output().unwrap());
        assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{typed:?}");
    }
}

#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let world = World::with_repository();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = world.command(&["snapshots"]);
    let answer = Answer::of(command.stdout(Stdio::from(full)).output().unwrap());
    assert_eq!(answer.code, 1);
    assert!(answer.err.starts_with("error: could not print the result"), "{}", answer.err);
}
