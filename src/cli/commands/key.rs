//! `parados key`.

use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::base::text::escape;
use crate::base::{Result, SlotId};
use crate::cli::context::{Access, Context, Opened};
use crate::cli::embedded::new_recovery_code;
use crate::cli::exit::Outcome;
use crate::cli::key_file;
use crate::cli::secret::{self, Purpose, SecretSource};
use crate::cli::ui::table::Table;
use crate::cli::ui::{json, text};
use crate::format::slot::{Label, Slot};
use crate::ops;
use crate::seal::slot::{self, Secret};

/// Manage what opens the repository
///
/// A repository has up to 64 key slots. Each gives the same keys to who holds one passphrase, key
/// file or recovery code.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the key slots; the one in use has a star
    List,
    /// Add a passphrase, a key file or a recovery code
    Add(New),
    /// Remove a key slot
    ///
    /// Whoever has a copy of the repository from before can still open that copy with it.
    Remove {
        /// Id of the key slot, or its first digits
        id: String,
    },
    /// Replace the passphrase or key in use
    Passwd(New),
}

/// A new secret; without any option a passphrase is asked for.
#[derive(Debug, clap::Args)]
struct New {
    /// Read the new passphrase from this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["new_key_file", "new_recovery_code"])]
    new_password_file: Option<PathBuf>,

    /// Write a new random key to this file, which must not exist
    #[arg(long, alias = "key-file-out", value_name = "FILE", conflicts_with = "new_recovery_code")]
    new_key_file: Option<PathBuf>,

    /// Print a new recovery code, once
    #[arg(long)]
    new_recovery_code: bool,

    /// Say what it is for, in `key list`
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    match &args.verb {
        Verb::List => list(context),
        Verb::Add(new) => add(context, new),
        Verb::Remove { id } => remove(context, id),
        Verb::Passwd(new) => passwd(context, new),
    }
}

fn list(context: &Context) -> Result<Outcome> {
    let opened = context.open(Access::Read)?;
    let (slots, problems) = ops::key::list(&opened.repository)?;
    let ui = &context.ui;
    for problem in &problems {
        ui.problem(problem, "key list");
    }
    let rows: Vec<json::KeySlot> = slots
        .iter()
        .map(|(slot, label)| row(slot, label, is_current(slot, &slots, &opened)))
        .collect();
    if ui.json {
        ui.json(&rows)?;
    } else {
        let heads = ["", "ID", "Kind", "User", "Host", "Created", "Label"];
        let mut table = Table::new(&heads).flexible(&["User", "Host", "Label"]);
        for (row, (_, label)) in rows.iter().zip(&slots) {
            let shown = |text: &str| escape(text.as_bytes());
            table.row(vec![
                if row.current { "*" } else { "" }.to_owned(),
                row.id[..8].to_owned(),
                row.kind.to_owned(),
                shown(&row.user_name),
                shown(&row.host_name),
                label.created.to_local(),
                shown(&row.label),
            ]);
        }
        for line in table.lines(ui.columns()) {
            ui.out(&line)?;
        }
    }
    Ok(if problems.is_empty() { Outcome::Done } else { Outcome::Incomplete })
}

/// Whether this slot was opened. A passphrase costs a second to try, so the only slot of its kind
/// is believed.
fn is_current(slot: &Slot, all: &[(Slot, Label)], opened: &Opened) -> bool {
    let kind = opened.secret.kind();
    if slot.kind != kind {
        return false;
    }
    let is_only = all.iter().filter(|(other, _)| other.kind == kind).count() == 1;
    is_only || slot::open(slot, &opened.secret).is_ok()
}

fn row(slot: &Slot, label: &Label, current: bool) -> json::KeySlot {
    json::KeySlot {
        current,
        id: slot.id.to_hex(),
        kind: json::slot_kind(slot.kind),
        user_name: label.user.clone(),
        host_name: label.host.clone(),
        created: label.created.to_rfc3339(),
        label: label.text.clone(),
    }
}

fn add(context: &Context, new: &New) -> Result<Outcome> {
    let opened = context.open(Access::Write)?;
    let (secret, recovery_code) = new_secret(context, new)?;
    let id = ops::key::add(&opened.repository, &secret, &context.label(&new.label))?;
    tell(context, "key_added", "added", id, new, recovery_code)
}

fn remove(context: &Context, prefix: &str) -> Result<Outcome> {
    let opened = context.open(Access::Write)?;
    let id = ops::key::remove(&opened.repository, prefix, &opened.secret)?;
    let ui = &context.ui;
    if ui.json {
        let message_type = "key_removed";
        let id = id.to_hex();
        ui.json(&json::KeyChange { message_type, id, key_file: None, recovery_code: None })?;
    }
    ui.tell(&format!("removed key slot {}", id.short()))?;
    Ok(Outcome::Done)
}

fn passwd(context: &Context, new: &New) -> Result<Outcome> {
    let opened = context.open(Access::Write)?;
    let (secret, recovery_code) = new_secret(context, new)?;
    let label = context.label(&new.label);
    let id = ops::key::passwd(&opened.repository, &opened.secret, &secret, &label)?;
    tell(context, "key_changed", "replaced the key in use by", id, new, recovery_code)
}

fn new_secret(context: &Context, new: &New) -> Result<(Secret, Option<Zeroizing<String>>)> {
    if let Some(path) = &new.new_key_file {
        return Ok((Secret::KeyFile(key_file::write_new(path)?), None));
    }
    if new.new_recovery_code {
        let (secret, text) = new_recovery_code();
        return Ok((secret, Some(text)));
    }
    let source = new.new_password_file.clone().map_or(SecretSource::Prompt, SecretSource::File);
    let secret = secret::load(&source, Purpose::Make, &context.environment, &context.ui)?;
    Ok((secret, None))
}

fn tell(
    context: &Context,
    message_type: &'static str,
    done: &str,
    id: SlotId,
    new: &New,
    recovery_code: Option<Zeroizing<String>>,
) -> Result<Outcome> {
    let ui = &context.ui;
    if ui.json {
        ui.secret_json(&json::KeyChange {
            message_type,
            id: id.to_hex(),
            key_file: new.new_key_file.as_ref().map(|path| path.display().to_string()),
            recovery_code: recovery_code.as_ref().map(|code| code.as_str()),
        })?;
        return Ok(Outcome::Done);
    }
    ui.tell(&format!("{done} key slot {}", id.short()))?;
    if let Some(path) = &new.new_key_file {
        ui.tell(&format!("its key is in {}", text::path(path)))?;
    }
    if let Some(code) = recovery_code {
        ui.recovery_code(&code)?;
    }
    Ok(Outcome::Done)
}
