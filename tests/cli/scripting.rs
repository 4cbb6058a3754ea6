//! `docs/scripting.md` names every field that `--json` prints, no other one, with its type.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use parados::repo::snapshots::Snapshots;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::plant::{open, plant};
use crate::world::{Answer, World, json_lines, noise};

/// A field as it is documented.
#[derive(Clone)]
struct Field {
    kind: String,
    is_optional: bool,
}

/// Fields of each message, by message and command: `summary` of `backup`.
type Messages = BTreeMap<(String, String), BTreeMap<String, Field>>;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What stands between backticks.
fn ticked(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Reads the tables below headings of the third level.
fn documented() -> Messages {
    let text = fs::read_to_string(top().join("docs/scripting.md")).unwrap();
    let mut messages = Messages::new();
    let mut keys: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            let (message, commands) = heading.split_once(" of ").unwrap();
            let message = message.trim_matches('`');
            let mut commands: Vec<&str> = ticked(commands).collect();
            if commands.is_empty() {
                commands.push("every command");
            }
            keys = commands.iter().map(|c| (message.to_owned(), (*c).to_owned())).collect();
            for key in &keys {
                assert!(messages.insert(key.clone(), BTreeMap::new()).is_none(), "{heading}");
            }
        } else if let Some(row) = line.strip_prefix("| `").filter(|_| !keys.is_empty()) {
            let mut cells = row.split('|').map(str::trim);
            let name = cells.next().unwrap().trim_end_matches('`').to_owned();
            let kind = cells.next().unwrap();
            let field = Field {
                kind: kind.trim_end_matches(", optional").to_owned(),
                is_optional: kind.ends_with(", optional"),
            };
            for key in &keys {
                messages.get_mut(key).unwrap().insert(name.clone(), field.clone());
            }
        }
    }
    // The head of `ls` is a snapshot with two words more; forgotten snapshots are like the others.
    let snapshot = messages[&key("list", "snapshots")].clone();
    messages.get_mut(&key("list", "unforget")).unwrap().extend(snapshot.clone());
    messages.get_mut(&key("snapshot", "ls")).unwrap().extend(snapshot);
    messages
}

fn key(message: &str, command: &str) -> (String, String) {
    (message.to_owned(), command.to_owned())
}

/// Whether `value` is of the type `kind`.
fn is_of(kind: &str, value: &Value) -> bool {
    let is_hex = |len| {
        value.as_str().is_some_and(|text| {
            text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || b"abcdef".contains(&b))
        })
    };
    if let Some(word) = kind.strip_prefix('`') {
        return value == word.trim_end_matches('`');
    }
    if let Some(kind) = kind.strip_suffix(" or null") {
        return value.is_null() || is_of(kind, value);
    }
    if let Some(inner) = kind.strip_prefix("list of ") {
        return value.as_array().is_some_and(|all| all.iter().all(|value| is_of(inner, value)));
    }
    match kind {
        "text" => value.is_string(),
        "id" => is_hex(64),
        "short id" => is_hex(8),
        "time" => value.as_str().is_some_and(|text| {
            let shape: String =
                text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            shape == "0000-00-00T00:00:00.000000000Z"
        }),
        "count" | "bytes" | "seconds" | "number" => value.is_u64(),
        "decimal" => value.is_f64(),
        "yes or no" => value.is_boolean(),
        "snapshots" | "reasons" => value.is_object(),
        other => panic!("docs/scripting.md has no type {other:?}"),
    }
}

/// Gathers what was printed, and refuses what is not documented.
struct Seen {
    documented: Messages,
    fields: BTreeSet<(String, String, String)>,
}

impl Seen {
    fn answer(&mut self, command: &str, answer: &Answer) {
        for value in answer.json().iter().chain(&json_lines(&answer.err)) {
            self.line(command, value);
        }
    }

    fn line(&mut self, command: &str, value: &Value) {
        let Some(list) = value.as_array() else {
            let message = value["message_type"].as_str().unwrap();
            return self.message(message, command, value);
        };
        for element in list {
            self.message("list", command, element);
            let inner = ["snapshots", "keep", "remove", "reasons"];
            for inner in inner.iter().filter_map(|name| element[name].as_array()).flatten() {
                match inner.get("snapshot") {
                    None => self.message("list", "snapshots", inner),
                    Some(snapshot) => {
                        self.message("list", "snapshots", snapshot);
                        assert!(is_of("list of text", &inner["matches"]), "{inner}");
                        assert_eq!(inner.as_object().unwrap().len(), 2, "{inner}");
                    }
                }
            }
        }
    }

    fn message(&mut self, message: &str, command: &str, value: &Value) {
        let own = key(message, command);
        let key =
            if self.documented.contains_key(&own) { own } else { key(message, "every command") };
        let fields = self.documented.get(&key).cloned();
        let fields =
            fields.unwrap_or_else(|| panic!("`{message}` of `{command}` is not documented"));
        let mut printed = BTreeSet::new();
        self.object(&key, "", value, &fields, &mut printed);
        for (name, field) in &fields {
            assert!(field.is_optional || printed.contains(name), "`{name}` of {key:?}: {value}");
        }
    }

    fn object(
        &mut self,
        key: &(String, String),
        prefix: &str,
        value: &Value,
        fields: &BTreeMap<String, Field>,
        printed: &mut BTreeSet<String>,
    ) {
        for (name, value) in value.as_object().unwrap() {
            let name = format!("{prefix}{name}");
            if value.is_object() {
                self.object(key, &format!("{name}."), value, fields, printed);
                continue;
            }
            let field = fields.get(&name);
            let field = field.unwrap_or_else(|| panic!("`{name}` of {key:?} is not documented"));
            assert!(is_of(&field.kind, value), "`{name}` of {key:?} is no {}: {value}", field.kind);
            self.fields.insert((key.0.clone(), key.1.clone(), name.clone()));
            printed.insert(name);
        }
    }

    /// Every field that is documented was printed.
    fn is_all(&self) {
        for (key, fields) in &self.documented {
            for name in fields.keys() {
                // Restores and checks of a second or more are too long for a test; nothing refuses
                // to be read by root, or changes at the right moment; `resuming` kills backups.
                let rare =
                    ["inconsistent", "incomplete", "partial", "files_resumed", "bytes_resumed"];
                let is_rare =
                    key.0 == "status" && key.1 != "backup" || rare.contains(&name.as_str());
                if is_rare {
                    continue;
                }
                // By one of the commands that share its table.
                let is_printed = self.documented.iter().any(|(other, same)| {
                    let printed = (other.0.clone(), other.1.clone(), name.clone());
                    other.0 == key.0
                        && same.keys().eq(fields.keys())
                        && self.fields.contains(&printed)
                });
                assert!(is_printed, "`{name}` of {key:?} was not printed");
            }
        }
    }
}

/// A backup that is stopped as soon as it printed a status; its total is that of its parent.
fn interrupted_backup(seen: &mut Seen) {
    let world = World::with_repository();
    world.write("source/0", "short");
    world.ok(&["backup", "source"]);
    // Slow to compress, so that files are done one after the other.
    for number in 0..64 {
        world.write(&format!("source/{number}"), hex::encode(noise(number, 512 << 10)));
    }
    let mut child =
        world.command(&["backup", "source", "--compression", "max", "--json"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let status = lines.next().unwrap().unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    child.wait().unwrap();
    let out = format!("{status}\n{}", rest.join("\n"));
    seen.answer("backup", &Answer { code: 130, out: out.trim_end().to_owned(), err });
}

/// Somebody took a snapshot away, and what was in it is recovered.
fn world_without_a_snapshot(seen: &mut Seen) {
    let world = World::with_repository();
    world.source();
    world.ok(&["backup", "source"]);
    fs::remove_file(&world.objects("snapshots")[0]).unwrap();
    seen.answer("recover", &world.ok(&["recover", "--apply", "--json"]));
}

#[test]
fn every_field_is_documented_and_every_documented_field_is_printed() {
    let mut seen = Seen { documented: documented(), fields: BTreeSet::new() };
    interrupted_backup(&mut seen);

    // The first backup of somebody who set nothing up, of a home with the repository in it.
    let world = World::new();
    world.write("home/letter", "dear");
    seen.answer("backup", &world.ok(&["backup", "home", "--json"]));

    let world = World::new();
    let open_with = ["-r", "repository", "--key-file", "key", "--json"];
    let mut run = |code: i32, typed: &[&str]| {
        let command = match typed {
            ["key", verb, ..] => format!("key {verb}"),
            ["snapshots", "--group-by", ..] => "snapshots --group-by".to_owned(),
            _ => typed[0].to_owned(),
        };
        let answer = world.expect(code, &[typed, &open_with].concat());
        seen.answer(&command, &answer);
        answer
    };
    run(0, &["init", "--pack-size", "128K"]);
    let source = world.source();
    fs::write(source.join("odd"), noise(9, 300_000)).unwrap();
    let odd = std::os::unix::ffi::OsStrExt::from_bytes(b"odd\xff");
    fs::write(source.join::<&std::ffi::OsStr>(odd), "x").unwrap();
    run(3, &["backup", "source", "nowhere", "--tag", "x", "--description", "first"]);
    run(0, &["backup", "source"]);
    run(0, &["snapshots"]);
    run(0, &["snapshots", "--group-by", "host,paths,tags"]);
    run(0, &["snapshots", "--group-by", "host"]);
    run(0, &["ls", "latest~1"]);
    run(0, &["ls", "latest"]);
    run(0, &["backup", "source", "--verbose", "--exclude", "odd*"]);
    run(0, &["backup", "source", "--dry-run"]);
    run(0, &["restore", "latest", "-t", "back", "--verbose", "--dry-run"]);
    run(0, &["restore", "latest~1", "-t", "back", "--verbose"]);
    run(0, &["check", "--read-data"]);
    run(1, &["restore", "dead", "-t", "back"]);
    let id = run(0, &["backup", "source"]).snapshot_id();
    run(0, &["snapshots", &id, "--host", "somebody"]);
    let forgotten = run(0, &["forget", "--keep-last", "1"]).json().remove(0);
    let gone = forgotten[0]["remove"][0]["id"].as_str().unwrap();
    run(0, &["forget", "--keep-last", "1", "--group-by", "host,paths,tags", "--dry-run"]);
    run(0, &["unforget"]);
    run(0, &["prune"]);
    run(0, &["prune", "--dry-run"]);
    run(0, &["unforget", gone]);
    run(0, &["repair", "index"]);
    run(0, &["recover"]);
    run(0, &["unlock"]);
    let slot = run(0, &["key", "add", "--new-key-file", "second"]).json().remove(0);
    run(0, &["key", "remove", slot["id"].as_str().unwrap()]);
    run(0, &["key", "add", "--new-recovery-code"]);
    run(0, &["key", "list"]);
    run(0, &["version"]);
    // Damage: a snapshot from the future, a pack that is gone.
    let future = parados::base::Timestamp::new(9_000_000_000, 0);
    let environment = World::with_repository();
    environment.write("source/x", "x");
    environment.ok(&["backup", "source"]);
    plant(&environment, |snapshot| snapshot.time = future);
    let mut packs = world.objects("packs");
    packs.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    let mut bytes = fs::read(&packs[0]).unwrap();
    bytes[1000] ^= 1;
    fs::remove_file(&packs[0]).unwrap();
    fs::write(&packs[0], bytes).unwrap();
    run(1, &["check", "--read-data"]);
    run(3, &["repair", "packs"]);
    for repaired in run(3, &["repair", "snapshots", "--apply"]).json() {
        run(0, &["ls", repaired["snapshot_id"].as_str().unwrap()]);
    }
    fs::remove_file(&packs[0]).unwrap();
    run(1, &["check"]);
    run(0, &["backup", "source"]);
    run(0, &["key", "passwd", "--new-key-file", "third"]);
    seen.answer("ls", &environment.expect(3, &["ls", "latest", "--json"]));
    assert_eq!(Snapshots::read(&open(&environment)).unwrap().all.len(), 2);
    // A key file that others may read.
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(environment.at("key"), everybody).unwrap();
    seen.answer("version", &environment.ok(&["version", "--json"]));
    seen.answer("snapshots", &environment.ok(&["snapshots", "--json"]));
    world_without_a_snapshot(&mut seen);
    let code = ["key", "passwd", "--new-recovery-code", "--json"];
    seen.answer("key passwd", &environment.ok(&code));
    seen.is_all();
}

/// What no run of ours prints is found in the source.
#[test]
fn every_field_in_the_source_is_documented() {
    // What `reasons` of `forget` hold is told in a row of their own.
    let inner = ["snapshot", "matches"].map(str::to_owned);
    let mut known: BTreeSet<String> = documented()
        .into_values()
        .flat_map(BTreeMap::into_keys)
        .flat_map(|name| name.split('.').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    known.extend(inner);
    let fields = fields_in(&fs::read_to_string(top().join("src/cli/ui/json.rs")).unwrap());
    assert!(fields.contains("path_hex") && fields.contains("userName"), "{fields:?}");
    let unknown: Vec<_> = fields.difference(&known).collect();
    assert!(unknown.is_empty(), "docs/scripting.md lacks {unknown:?}");
    let elsewhere = fs::read_dir(top().join("src/cli/ui")).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let has = fs::read_to_string(&path).is_ok_and(|text| text.contains("derive(Serialize"));
        (has && !path.ends_with("json.rs")).then_some(path)
    });
    assert_eq!(elsewhere.collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn fields_in_a_source_are_found() {
    let source = "#[derive(Serialize)]\npub(crate) struct A<'a> {\n    /// Text.\n    pub(crate) one: &'a str,\n    \
                  #[serde(rename = \"twoThree\")]\n    two_three: u8,\n}\nstruct Other {\n    four: u8,\n}\n";
    assert_eq!(fields_in(source), BTreeSet::from(["one".to_owned(), "twoThree".to_owned()]));
}

/// Names of the fields of every structure that is printed.
fn fields_in(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in source.split("#[derive(Serialize)]").skip(1) {
        let body = part.split_once("{\n").unwrap().1.split_once("\n}").unwrap().0;
        let mut renamed = None;
        for line in body.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("#[serde(rename = \"") {
                renamed = name.split('"').next().map(str::to_owned);
            } else if let Some((name, _)) = line.split_once(": ").filter(|_| !line.starts_with('/'))
            {
                let name = name.trim_start_matches("pub(crate) ").to_owned();
                found.insert(renamed.take().unwrap_or(name));
            }
        }
    }
    found
}
