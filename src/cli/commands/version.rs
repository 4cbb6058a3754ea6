//! `parados version`.

use std::env::consts::{ARCH, OS};

use crate::base::Result;
use crate::cli::context::Context;
use crate::cli::exit::Outcome;
use crate::cli::ui::json;
use crate::format::FORMAT_VERSION;

/// Print the version of this program
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context, _args: &Args) -> Result<Outcome> {
    let version = env!("CARGO_PKG_VERSION");
    if context.ui.json {
        context.ui.json(&json::Version {
            message_type: "version",
            version,
            format: FORMAT_VERSION,
            os: OS,
            arch: ARCH,
        })?;
    } else {
        context
            .ui
            .out(&format!("parados {version}, repository format {FORMAT_VERSION}, {OS}/{ARCH}"))?;
    }
    Ok(Outcome::Done)
}
