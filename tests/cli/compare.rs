//! The comparison with other programs measures this one, with a verdict that can go both ways.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::world::{Answer, PROGRAM, World, has, json_lines, skip};

const PEERS: [&str; 4] = ["restic", "borg", "rustic", "bupstash"];

fn bench(name: &str, world: &World, arguments: &[&str]) -> Answer {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(name);
    let mut command = Command::new("python3");
    command.arg(script).args(arguments);
    world.dress(&mut command);
    Answer::of(command.output().unwrap())
}

fn compare(world: &World, arguments: &[&str]) -> Answer {
    bench("compare", world, arguments)
}

/// What a run records in which every tool needs `peer` seconds for each step and Parados half.
fn records(peer: f64) -> Vec<Value> {
    let mut records = vec![json!({"record": "run", "facts": {"trees": "planted"}})];
    for tool in ["parados"].into_iter().chain(PEERS) {
        let cost = if tool == "parados" { peer / 2.0 } else { peer };
        for step in ["first", "unchanged", "changed", "restore", "check"] {
            let mut record = json!({
                "record": "step", "tree": "models", "tool": tool, "step": step, "repetition": 0,
                "wall": cost, "cpu": cost, "memory_bytes": 1 << 20, "exit": 0,
            });
            if step == "restore" {
                record["same"] = true.into();
            }
            if ["first", "changed"].contains(&step) {
                record["stored_bytes"] = (cost as u64 * 1000).into();
            }
            records.push(record);
        }
    }
    records
}

fn find<'a>(records: &'a mut [Value], tool: &str, step: &str) -> &'a mut Value {
    records.iter_mut().find(|r| r["tool"] == tool && r["step"] == step).unwrap()
}

/// The verdict on planted records.
fn verdict(records: &[Value]) -> Answer {
    let world = World::new();
    let lines: Vec<String> = records.iter().map(|record| format!("{record}\n")).collect();
    world.write("records", lines.concat());
    compare(&world, &["--read", "records"])
}

#[test]
fn a_comparison_without_peers_measures_but_gives_no_verdict() {
    if !has("python3") {
        return skip("a_comparison_without_peers_measures_but_gives_no_verdict", "no python3");
    }
    let world = World::new();
    world.source();
    let made = ["--data", "trees", "--trees", "small", "--scale", "0.001", "--directory", "source"];
    let places = ["--work", "work", "--parados", PROGRAM, "--tools", "parados", "--json", "log"];
    let answer = compare(&world, &[made, places].concat());
    assert_eq!(answer.code, 3, "{}{}", answer.out, answer.err);
    let end = "no verdict: restic, borg, rustic, bupstash did not run\n";
    assert!(answer.out.ends_with(end), "{}", answer.out);
    assert!(answer.out.contains("| small changed | "), "{}", answer.out);
    let records = json_lines(&fs::read_to_string(world.at("log")).unwrap());
    let steps: Vec<&str> = records.iter().filter_map(|r| r["step"].as_str()).collect();
    let (kept, restored) = (["first", "unchanged", "unchanged", "unchanged"], ["restore", "check"]);
    assert_eq!(steps, [&kept[..], &["changed"], &restored, &kept, &restored].concat());
    assert!(records[1..].iter().all(|r| r["exit"] == 0 && r["cpu"].as_f64().unwrap() > 0.0));
    let restores: Vec<&Value> = records.iter().filter(|r| r["step"] == "restore").collect();
    assert!(restores.iter().all(|r| r["same"] == true), "{restores:?}");
    assert_eq!(fs::read_dir(world.at("work")).unwrap().count(), 0, "it clears its traces");
}

#[test]
fn forgetting_beside_nobody_is_measured_without_a_verdict() {
    if !has("python3") {
        return skip("forgetting_beside_nobody_is_measured_without_a_verdict", "no python3");
    }
    let world = World::new();
    let made = ["--data", "trees", "--scale", "0.001", "--snapshots", "4", "--tools", "parados"];
    let answer =
        bench("hourly", &world, &[&made[..], &["--work", "work", "--parados", PROGRAM]].concat());
    assert_eq!(answer.code, 3, "{}{}", answer.out, answer.err);
    assert!(answer.out.contains("- 4 snapshots, 2 forgotten, scale 0.001"), "{}", answer.out);
    assert!(answer.out.contains("\n| parados | "), "{}", answer.out);
    assert_eq!(fs::read_dir(world.at("work")).unwrap().count(), 0, "it clears its traces");
}

#[test]
fn a_verdict_needs_every_peer_and_names_each_defeat() {
    if !has("python3") {
        return skip("a_verdict_needs_every_peer_and_names_each_defeat", "no python3");
    }
    let expect = |code, line: &str, plant: &dyn Fn(&mut Vec<Value>)| {
        let mut records = records(2.0);
        plant(&mut records);
        let answer = verdict(&records);
        assert_eq!(answer.code, code, "{}{}", answer.out, answer.err);
        assert!(answer.out.contains(line), "{line}: {}", answer.out);
    };
    expect(0, "than the better of them: yes\n", &|_| ());
    expect(1, "- models restore: cpu is 1.00 of borg\n", &|records| {
        find(records, "parados", "restore")["cpu"] = 2.0.into();
        find(records, "restic", "restore")["cpu"] = 3.0.into();
    });
    expect(1, "- models unchanged: wall is 1.50 of restic\n", &|records| {
        find(records, "parados", "unchanged")["wall"] = 3.0.into();
    });
    expect(1, "- models stored after first: 1.001 of the better one\n", &|records| {
        find(records, "parados", "first")["stored_bytes"] = 2002.into();
    });
    expect(1, "- parados restore models: what came back differs from the source\n", &|records| {
        find(records, "parados", "restore")["same"] = false.into();
    });
    // Rustic and bupstash are shown, not promised.
    expect(0, "- beyond that, models check: wall is 2.00 of rustic\n", &|records| {
        find(records, "rustic", "check")["wall"] = 0.5.into();
    });
    expect(3, "no verdict: bupstash did not run\n", &|records| {
        records.retain(|record| record["tool"] != "bupstash");
    });
    expect(3, "no verdict: borg has no figure for check of models\n", &|records| {
        find(records, "borg", "check")["exit"] = 2.into();
    });
    expect(3, "no verdict: rustic has no figure for first of models\n", &|records| {
        find(records, "rustic", "first")["exit"] = 2.into();
    });
    // What an earlier run recorded in the same file does not count.
    expect(3, "no verdict: parados, restic", &|records| {
        records.push(json!({"record": "run"}));
    });
}
