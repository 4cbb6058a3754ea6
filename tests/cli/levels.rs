//! How much the program says, in which colors, to which stream.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::world::{World, has, skip};

#[test]
fn each_level_says_more_than_the_one_before() {
    let world = World::with_repository();
    world.source();
    world.ok(&["backup", "source"]);
    let at = |typed: &[&str], level: &[&str]| {
        let answer = world.ok(&[typed, level].concat());
        assert_eq!(answer.err, "", "{typed:?}");
        answer.out
    };
    for (typed, has_result) in [
        (&["backup", "source"][..], false),
        (&["snapshots"], true),
        (&["ls", "latest"], true),
        (&["restore", "latest", "-t", "back"], false),
        (&["check"], false),
        (&["key", "list"], true),
    ] {
        let [quiet, normal, verbose] = [&["-q"][..], &["--no-color"], &["-v"]].map(|level| {
            if typed[0] == "restore" {
                drop(fs::remove_dir_all(world.at("back")))
            }
            at(typed, level)
        });
        assert_eq!(!quiet.is_empty(), has_result, "{typed:?}: {quiet}");
        let is_opened = |text: &str| text.lines().any(|line| line.starts_with("repository "));
        assert!(is_opened(&verbose) && !is_opened(&normal), "{typed:?}: {verbose}");
        if typed[0] != "backup" && typed[0] != "restore" {
            assert!(normal.contains(&quiet) && verbose.contains(&normal), "{typed:?}: {verbose}");
        }
        assert!(typed[0] == "key" || normal.len() > quiet.len(), "{typed:?}: {normal}");
    }
    let verbose = world.stable(&at(&["backup", "source"], &["-v"]));
    let first = "repository <id> at <world>/repository, cache in <world>/home/.cache/parados/";
    assert!(verbose.starts_with(first), "{verbose}");
    assert!(verbose.contains("\nparent snapshot <id>\n"), "{verbose}");
    assert!(at(&["snapshots"], &["-v", "--no-cache"]).contains(", no cache\n"));
    let code = at(&["key", "add", "--new-recovery-code"], &["-q"]);
    assert!(world.stable(&code).trim().ends_with("<code>"), "{code}");
    world.expect(2, &["snapshots", "-q", "-v"]);
}

#[test]
fn a_verb_with_a_slip_gets_a_suggestion() {
    let world = World::new();
    let error = world.error(2, &["snapshot"]);
    assert!(error.contains("a similar subcommand exists: 'snapshots'"), "{error}");
    let error = world.error(2, &["ls", "latest", "--recursiv"]);
    assert!(error.contains("a similar argument exists: '--recursive'"), "{error}");
}

#[test]
fn colors_are_for_who_wants_them() {
    let mut world = World::new();
    let told = |world: &World| world.expect(10, &["snapshots"]).err;
    assert!(told(&world).starts_with("error: "));
    world.set("CLICOLOR_FORCE", "1");
    assert!(told(&world).starts_with("\u{1b}[1;31merror:\u{1b}[0m "));
    let help = world.ok(&["snapshots", "--help"]).out;
    assert!(help.contains("\u{1b}["), "{help}");
    let help = world.ok(&["snapshots", "--help", "--no-color"]).out;
    assert!(!help.contains("\u{1b}["), "{help}");
    world.set("NO_COLOR", "1");
    assert!(told(&world).starts_with("error: "));
}

#[test]
fn a_log_tells_what_was_decided_and_no_secret() {
    let mut world = World::with_repository();
    world.source();
    let secret = fs::read_to_string(world.at("key")).unwrap();
    let log = world.at("log");
    world.set("PARADOS_LOG_FILE", &log);
    world.set("AWS_SECRET_ACCESS_KEY", "very-secret");
    world.ok(&["backup", "source"]);
    assert!(!log.exists(), "a log that nobody asked for");
    world.set("PARADOS_LOG", "trace");
    let answer = world.ok(&["backup", "source", "--json"]);
    assert_eq!(answer.err, "");
    world.ok(&["restore", "latest", "-t", "back"]);
    let text = fs::read_to_string(&log).unwrap();
    for part in [
        " INFO backup: parados::cli::context: repository opened location=",
        "parent snapshot chosen",
        " INFO restore: parados::select: snapshot selected word=\"latest\" id=",
        "DEBUG ",
        "parados::backend: done verb=store name=snapshots/",
        "parados::backend: done verb=list name=packs/ ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let stored = text.lines().find(|line| line.contains("verb=store name=snapshots/")).unwrap();
    let field =
        |name: &str| stored.split(name).nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let object = world.at("repository").join(field(" name="));
    assert_eq!(field(" len="), fs::metadata(object).unwrap().len().to_string());
    assert!(field(" ms=").parse::<f64>().unwrap() > 0.0, "{stored}");
    assert!(!text.contains(secret.trim()) && !text.contains("very-secret"), "{text}");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    // Only the part that was asked for.
    fs::remove_file(&log).unwrap();
    world.set("PARADOS_LOG", "parados::select=info");
    world.ok(&["ls", "latest"]);
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    world.unset("PARADOS_LOG_FILE");
    let answer = world.ok(&["ls", "latest"]);
    assert!(answer.err.contains("snapshot selected") && !answer.out.contains("selected"));
    world.set("PARADOS_LOG", "parados=loud");
    let error = world.error(2, &["ls", "latest"]);
    assert!(error.starts_with("error: could not use PARADOS_LOG=\"parados=loud\""), "{error}");
    world.set("PARADOS_LOG", "info");
    world.set("PARADOS_LOG_FILE", world.at("no/such/log"));
    assert!(world.error(1, &["version"]).starts_with("error: could not open the log"));
}

#[test]
fn completions_complete_and_pages_are_pages() {
    let world = World::new();
    let typed = ["generate", "--bash-completion", "bash", "--zsh-completion", "zsh"];
    let more = ["--fish-completion", "fish", "--powershell-completion", "ps1", "--man", "man"];
    let told = world.ok(&[&typed[..], &more].concat()).out;
    assert_eq!(told.lines().count(), 5, "{told}");
    for [file, part] in [
        ["zsh", "#compdef parados"],
        ["fish", "complete -c parados"],
        ["ps1", "Register-ArgumentCompleter"],
    ] {
        assert!(fs::read_to_string(world.at(file)).unwrap().contains(part), "{file}");
    }
    let page = fs::read_to_string(world.at("man/parados-key-add.1")).unwrap();
    assert!(page.contains(".TH parados-key-add 1") && page.contains("new\\-recovery\\-code"));
    let manual = parados::cli::manual();
    let verbs = manual.lines().filter_map(|line| line.strip_prefix("## `parados "));
    for verb in verbs.map(|verb| verb.trim_end_matches('`')) {
        assert!(world.at(&format!("man/parados-{verb}.1")).exists(), "{verb}");
    }
    let out = world.ok(&["generate", "--bash-completion", "-"]).out;
    assert_eq!(out.trim_end(), fs::read_to_string(world.at("bash")).unwrap().trim_end());
    world.expect(2, &["generate"]);
    let error = world.error(1, &["generate", "--man", "bash"]);
    assert!(error.starts_with("error: could not make bash: "), "{error}");
    if !has("bash") {
        return skip("completions_complete_and_pages_are_pages", "no bash");
    }
    let script = "source ./bash; COMP_WORDS=(parados snap); COMP_CWORD=1; \
                  _parados parados snap parados; echo \"${COMPREPLY[@]}\"";
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", script]);
    world.dress(&mut bash);
    let output = bash.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "snapshots\n", "{output:?}");
}
