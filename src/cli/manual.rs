//! The manual, written from the same description as the help texts.

use clap::{Arg, Command, CommandFactory};

use super::args::Cli;
use super::environment::VARIABLES;
use super::exit::CODES;
use super::{restore_selection, selection};

const HEAD: &str = "\
# Command line

This page is written by the program: `PARADOS_UPDATE_DOCS=1 cargo test --test cli` renews it, and
the same test without the variable compares.

## Locations

| location | what it is |
| --- | --- |
| `/srv/backup`, `local:relative/path`, `file:///srv/backup` | a directory |
| `s3://bucket/prefix?region=eu-west-1` | S3; `&endpoint=https://host` for what speaks its language |
| `gs://bucket/prefix` | Google Cloud Storage |
| `az://container/prefix?account=name` | Azure Blob Storage |

Restic's `s3:https://host/bucket/prefix`, `gs:bucket:/prefix` and `azure:container:/prefix` are
understood.

Without any location, `backup` makes a repository in `~/.local/share/parados/repository` that the
random key in `~/.config/parados/key` opens, and prints a recovery code once. It protects against
mistakes, not against the loss of that disk.

## What opens a repository

A passphrase, a key file or a recovery code, whichever of its key slots exist. The first of these
that is set is used: options, then variables, then the configuration file of the user, then that of
the system; two such settings in one place are refused. Where nothing is set, the passphrase is asked
for on the terminal, or read as one line from standard input where there is no terminal.

Of a passphrase in a file or from a command, one line end is dropped and every other byte is used as
it is. A password command is split into words as a shell would, runs without one, and has 30
seconds. Child processes never see the variables that hold secrets.

## Configuration file

`$XDG_CONFIG_HOME/parados/config.toml` (`~/.config`), then `/etc/parados/config.toml`. Relative
paths start at the directory of the file; unknown keys are refused. All keys are optional:

```toml
repository = \"/mnt/disk/backup\"        # or: repository-file = \"location\"
password-file = \"passphrase\"           # or: password-command = \"pass backup\"
                                       # or: key-file = \"key\"
cache-dir = \"/var/cache/parados\"
max-memory = \"512M\"
```

";

const JSON: &str = "\
## JSON

With `--json`, results go to standard output, one object a line; `snapshots` and `key list` print one
array. Everything else goes to standard error. Every field is in [scripting.md](scripting.md).

## Signals

The first Ctrl-C, or SIGTERM, finishes what is in flight and keeps it for the next run; a second
Ctrl-C leaves at once, which is safe as well. SIGUSR1 prints one line of progress on standard error.

";

/// The manual in Markdown, `docs/cli.md`.
pub fn manual() -> String {
    let mut root = Cli::command();
    root.build();
    let mut text = HEAD.to_owned();
    text.push_str("## Environment\n\n| variable | meaning |\n| --- | --- |\n");
    for variable in VARIABLES {
        let names: Vec<String> =
            variable.name.split(", ").map(|name| format!("`{name}`")).collect();
        text.push_str(&format!("| {} | {} |\n", names.join(", "), variable.meaning));
    }
    text.push_str("\n## Exit codes\n\n| code | meaning |\n| --- | --- |\n");
    for row in CODES {
        text.push_str(&format!("| {} | {} |\n", row.code, row.meaning));
    }
    text.push('\n');
    text.push_str(JSON);
    text.push_str(selection::MANUAL);
    text.push_str(restore_selection::MANUAL);
    text.push_str("## Global options\n");
    options(&mut text, root.get_arguments().filter(|arg| arg.is_global_set()));
    for command in root.get_subcommands_mut() {
        describe(&mut text, command, "##");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn describe(text: &mut String, command: &mut Command, level: &str) {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").trim();
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    text.push_str(&format!("\n{level} `{name}`\n\n"));
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let more = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    text.push_str(&format!("{about}.\n\n"));
    let more = more.strip_prefix(&about).unwrap_or(&more).trim();
    if !more.is_empty() {
        for paragraph in more.split("\n\n") {
            text.push_str(&format!("{}\n\n", filled(paragraph, 100)));
        }
    }
    text.push_str(&format!("```text\n{usage}\n```\n"));
    options(text, command.get_arguments().filter(|arg| !arg.is_global_set()));
    for inner in command.get_subcommands_mut() {
        describe(text, inner, "###");
    }
}

fn options<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let shown = arguments
        .filter(|arg| !arg.is_hide_set() && arg.get_id() != "help" && arg.get_id() != "version");
    for (number, arg) in shown.enumerate() {
        if number == 0 {
            text.push('\n');
        }
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let mut line = format!("- `{}`: {help}", spelled(arg));
        let values: Vec<String> = arg
            .get_possible_values()
            .iter()
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        if arg.get_action().takes_values() && !values.is_empty() {
            line.push_str(&format!(" ({})", values.join(", ")));
        }
        let defaults: Vec<_> =
            arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        if arg.get_action().takes_values() && defaults.iter().any(|value| !value.is_empty()) {
            line.push_str(&format!(" [default: {}]", defaults.join(", ")));
        }
        let mut lines = filled(&line, 98).replace('\n', "\n  ");
        lines.push('\n');
        text.push_str(&lines);
    }
}

/// An argument as it is typed.
fn spelled(arg: &Arg) -> String {
    let value = if arg.get_action().takes_values() {
        let names = arg.get_value_names().unwrap_or_default();
        names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    } else {
        String::new()
    };
    let long = arg.get_long().map(|long| format!("--{long}"));
    let short = arg.get_short().map(|short| format!("-{short}"));
    let flags: Vec<String> = short.into_iter().chain(long).collect();
    let spelled = format!("{} {value}", flags.join(", "));
    spelled.trim().to_owned()
}

/// `text` in lines of at most `width` characters.
fn filled(text: &str, width: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is one line at least");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}
