//! `parados unlock`.

use crate::base::Result;
use crate::cli::context::Context;
use crate::cli::exit::Outcome;

/// Do nothing: there are no locks
///
/// For scripts that were written for restic. Backups, restores and prunes run at the same time, and
/// one that is killed leaves nothing behind that another would have to wait for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context, _args: &Args) -> Result<Outcome> {
    context.ui.tell("there are no locks, so there is nothing to unlock")?;
    Ok(Outcome::Done)
}
