//! The shapes of `--json`, which scripts written for restic read.

use serde_json::Value;

use crate::world::{World, json_lines};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn every_result_has_the_names_of_restic() {
    let mut world = World::new();
    world.source();
    world.set("PARADOS_REPOSITORY", world.at("repository"));
    world.set("PARADOS_KEY_FILE", world.at("key"));
    let made = world.ok(&["init", "--json"]).json().remove(0);
    assert_eq!(keys(&made), ["id", "key_file", "message_type", "recovery_code", "repository"]);
    assert_eq!(made["message_type"], "initialized");
    let summary = world.ok(&["backup", "source", "--json", "--tag", "x"]).json().pop().unwrap();
    assert_eq!(summary["message_type"], "summary");
    for (key, expect) in [
        ("files_new", 8),
        ("files_changed", 0),
        ("files_unmodified", 0),
        ("total_files_processed", 8),
        ("total_bytes_processed", 360_022),
        ("error_count", 0),
    ] {
        assert_eq!(summary[key], expect, "{key} of {summary}");
    }
    for key in ["data_blobs", "tree_blobs", "data_added", "data_added_packed"] {
        assert!(summary[key].as_u64().unwrap() > 0, "{key} of {summary}");
    }
    assert!(summary["total_duration"].as_f64().unwrap() > 0.0);
    let id = summary["snapshot_id"].as_str().unwrap();
    let list = world.ok(&["snapshots", "--json"]).json().remove(0);
    let snapshot = &list[0];
    assert_eq!(snapshot["id"], id);
    assert_eq!(snapshot["short_id"], id[..8]);
    assert_eq!(snapshot["tags"][0], "x");
    assert_eq!(snapshot["paths"][0], world.at("source").to_str().unwrap());
    for key in ["time", "tree", "hostname", "username", "program_version"] {
        assert!(snapshot[key].is_string(), "{key} of {snapshot}");
    }
    assert_eq!(snapshot["summary"]["total_files_processed"], 8);
    let nodes = world.ok(&["ls", "latest", "--json"]).json();
    assert_eq!(nodes[0]["message_type"], "snapshot");
    assert_eq!(nodes[0]["struct_type"], "snapshot");
    let hello = nodes.iter().find(|node| node["name"] == "hello.txt").unwrap();
    assert_eq!(hello["message_type"], "node");
    assert_eq!(hello["struct_type"], "node");
    assert_eq!(hello["type"], "file");
    assert_eq!(hello["size"], 6);
    assert_eq!(hello["path"], world.at("source/hello.txt").to_str().unwrap());
    assert_eq!(hello["mode"].as_u64().unwrap() & 0o400, 0o400);
    for key in ["uid", "gid", "user", "group", "permissions", "mtime"] {
        assert!(!hello[key].is_null(), "{key} of {hello}");
    }
    let restored = world.ok(&["restore", "latest", "-t", "back", "--json"]).json().pop().unwrap();
    assert_eq!(restored["message_type"], "summary");
    assert_eq!(restored["files_restored"], 8);
    // The second name of a file is a link, which takes no bytes.
    assert_eq!(restored["bytes_restored"], 360_016);
    let checked = world.ok(&["check", "--json"]).json().pop().unwrap();
    assert_eq!(checked["message_type"], "summary");
    assert_eq!(checked["num_errors"], 0);
    assert_eq!(checked["snapshot_count"], 1);
    let version = world.ok(&["version", "--json"]).json().remove(0);
    assert_eq!(keys(&version), ["arch", "format", "message_type", "os", "version"]);
}

#[test]
fn errors_are_json_on_standard_error() {
    let world = World::new();
    let answer = world.expect(10, &["snapshots", "--json"]);
    assert_eq!(answer.out, "");
    let error = json_lines(&answer.err).remove(0);
    assert_eq!(keys(&error), ["code", "hint", "kind", "message", "message_type"]);
    assert_eq!(error["message_type"], "exit_error");
    assert_eq!(error["code"], 10);
    assert_eq!(error["kind"], "no_repository");
}

#[test]
fn an_empty_list_is_a_list() {
    let world = World::with_repository();
    assert_eq!(world.ok(&["snapshots", "--json"]).out, "[]\n");
    assert_eq!(
        world.ok(&["snapshots"]).out,
        "no snapshots yet; make one with `parados backup PATH`\n"
    );
}
