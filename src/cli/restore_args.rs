//! Options of `restore` that say what happens to what is there already.

use std::sync::Arc;

use super::ui::Ui;
use super::ui::json::RestoreStatus;
use crate::base::size::human;
use crate::base::text::escape;
use crate::base::{Error, ErrorKind, Result};
use crate::ops::restore::{Action, How, Overwrite, Tell};

/// Options about what is there already.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// What happens to files that are there: `always` compares their content and restores what
    /// differs; `if-changed` does so where size or time differ; `if-newer` where the snapshot has a
    /// later time; `never` leaves them alone
    #[arg(long, value_name = "WHEN", default_value = "always")]
    overwrite: Choice,

    /// Remove what the snapshot does not have from the directories that it holds as a whole
    #[arg(long)]
    delete: bool,

    /// Write nothing, and tell what would be done; with `--verbose`, for each entry
    #[arg(short = 'n', long, conflicts_with = "verify")]
    dry_run: bool,

    /// Read every restored file back and compare it with the snapshot: the exit code is 1 if one
    /// differs
    #[arg(long)]
    verify: bool,

    /// Make holes of long runs of zeros, also where the source had none
    #[arg(long)]
    sparse: bool,

    /// Write what differs into the files that are there, unless they are small, instead of building
    /// them anew beside the old ones: for files larger than the free space. A run that is stopped
    /// leaves such a file with old and new parts, which only its owner may read, and the next one
    /// goes on with it. What has another name, is being executed or belongs to somebody else is
    /// built anew
    #[arg(long)]
    in_place: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Choice {
    Always,
    IfChanged,
    IfNewer,
    Never,
}

impl RestoreArgs {
    /// Refuses what contradicts itself.
    ///
    /// # Errors
    /// With the way out.
    pub(crate) fn verify(&self) -> Result<()> {
        if !self.in_place || !matches!(self.overwrite, Choice::IfNewer) {
            return Ok(());
        }
        let message = "a file that was written in place in part is newer than the snapshot";
        Err(Error::new(ErrorKind::Usage, message)
            .hint("Give `--in-place` with `--overwrite always` or `if-changed`."))
    }

    /// Whether nothing is written.
    pub(crate) fn dry_run(&self) -> bool {
        self.dry_run
    }

    /// What they say, for an operation that tells `ui` about each entry if that is verbose.
    pub(crate) fn how(&self, ui: &Arc<Ui>) -> How {
        let tell = ui.verbose.then(|| {
            let ui = Arc::clone(ui);
            Arc::new(move |action, path: &[u8], len| tell(&ui, action, path, len)) as Arc<Tell>
        });
        How {
            overwrite: match self.overwrite {
                Choice::Always => Overwrite::Always,
                Choice::IfChanged => Overwrite::IfChanged,
                Choice::IfNewer => Overwrite::IfNewer,
                Choice::Never => Overwrite::Never,
            },
            delete: self.delete,
            dry_run: self.dry_run,
            verify: self.verify,
            sparse: self.sparse,
            in_place: self.in_place,
            select: None,
            tell,
            stays: Vec::new(),
        }
    }
}

fn tell(ui: &Ui, action: Action, path: &[u8], len: u64) {
    let word = match action {
        Action::Restored => "restored",
        Action::Updated => "updated",
        Action::Unchanged => "unchanged",
        Action::Deleted => "deleted",
    };
    let told = if ui.json {
        ui.json(&RestoreStatus::new(word, path, len))
    } else {
        ui.tell(&format!("{word:<9} {}, {}", escape(path), human(len)))
    };
    // Nobody reads on; the restore is what matters.
    told.ok();
}
