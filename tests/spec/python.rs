//! A reader that was written from the format document alone restores the golden repository.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Map, Value, json};

use crate::golden::{self, PASSPHRASE};

const PACKAGES: &str = "blake3 zstandard cryptography argon2-cffi";

/// A Python that has what the reader needs: that of `.ci/setup --test`, or that of the system.
fn python() -> Option<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = var("XDG_CACHE_HOME").or_else(|| var("HOME").map(|home| home.join(".cache")));
    let cache = cache.unwrap_or_else(|| "/tmp/.cache".into());
    let installed = cache.join("parados-ci/venv/bin/python3");
    [installed, "python3".into()].into_iter().find(|python| {
        let imports = "import argon2, blake3, cryptography, zstandard";
        Command::new(python).args(["-c", imports]).output().is_ok_and(|out| out.status.success())
    })
}

/// Says which test could not run, past the harness, which would keep it to itself.
fn skip(test: &str) {
    let why = format!("no python3 has what it needs (pip install {PACKAGES})");
    let mut errors = std::io::stderr();
    writeln!(errors, "SKIPPED: {test}: {why}").unwrap();
}

struct Reader {
    python: PathBuf,
    repository: PathBuf,
}

impl Reader {
    fn run(&self, arguments: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec/reader.py");
        Command::new(&self.python)
            .args(["-I", "-B"])
            .arg(script)
            .arg(&self.repository)
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Its lines of JSON.
    fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let out = self.run(arguments);
        let errors = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success() && errors.is_empty(), "{arguments:?}: {errors}");
        let text = String::from_utf8(out.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
fn python_reader_restores_the_golden_repository() {
    let Some(python) = python() else {
        return skip("python_reader_restores_the_golden_repository");
    };
    let reader = Reader { python, repository: golden::repository() };
    let dir = golden::temporary();
    let (key, recovery_code) = golden::codes();
    let key_file = dir.path().join("key");
    fs::write(&key_file, key + "\n").unwrap();
    let key_file = key_file.to_str().unwrap().to_owned();

    let by_passphrase = reader.lines(&["--passphrase", PASSPHRASE, "list"]);
    let tags: BTreeMap<String, String> = by_passphrase.iter().map(tags_of).collect();
    let expected = golden::expected();
    let wanted = expected.iter().map(|(session, snapshot)| {
        (session.clone(), snapshot["tags"].as_str().unwrap().to_owned())
    });
    assert_eq!(tags, wanted.collect());
    assert!(by_passphrase.iter().any(|line| line["pinned"] == json!(true)));

    let ways: [&[&str]; 4] = [
        &["--key-file", &key_file],
        &["--key-file", &key_file, "--from-packs"],
        &["--recovery-code", &recovery_code],
        &["--recovery-code", &recovery_code, "--from-packs"],
    ];
    for (number, way) in ways.into_iter().enumerate() {
        for session in expected.keys() {
            compare_listed(session, reader.lines(&[way, &["ls", session]].concat()));
            let target = dir.path().join(format!("{number}-{session}"));
            let restore = ["restore", session, target.to_str().unwrap()];
            assert!(reader.lines(&[way, &restore].concat()).is_empty());
            golden::compare_restored(session, &target);
        }
    }
}

fn tags_of(line: &Value) -> (String, String) {
    let tags: Vec<&str> =
        line["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
    (line["session"].as_str().unwrap().to_owned(), tags.join(","))
}

/// Turns equal link pairs into the path of the first entry that had it.
fn compare_listed(session: &str, lines: Vec<Value>) {
    let (mut found, mut links) = (Map::new(), BTreeMap::new());
    for mut line in lines {
        let path = line["path"].as_str().unwrap().to_owned();
        if let Some(link) = line.get("link").map(Value::to_string) {
            match links.get(&link) {
                Some(first) => line["same_as"] = json!(first),
                None => drop(links.insert(link, path.clone())),
            }
        }
        found.insert(path, line);
    }
    golden::compare(session, &found, &golden::LISTED);
}

#[test]
fn python_reader_names_what_is_damaged() {
    let Some(python) = python() else { return skip("python_reader_names_what_is_damaged") };
    let dir = golden::temporary();
    let repository = dir.path().join("repository");
    golden::copy(&repository);
    let reader = Reader { python, repository: repository.clone() };
    let (_, code) = golden::codes();
    let session = golden::expected().keys().next().unwrap().clone();
    let mut failures = 0;
    for file in golden::files(&repository) {
        let path = repository.join(&file);
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        // The first frame of a pack, the sealed part of anything else.
        damaged[200] ^= 1;
        fs::write(&path, damaged).unwrap();
        let target = dir.path().join("target");
        let restore = ["--recovery-code", &code, "restore", &session, target.to_str().unwrap()];
        let out = reader.run(&restore);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!said.contains("Traceback"), "{said}");
        if !out.status.success() {
            assert!(said.contains(&file), "{file} is damaged: {said}");
            failures += usize::from(file.starts_with("packs/"));
        } else if target.exists() {
            golden::compare_restored(&session, &target);
        }
        drop(fs::remove_dir_all(&target));
        fs::write(&path, whole).unwrap();
    }
    assert!(failures > 5, "{failures} packs of a snapshot were missed");
}
