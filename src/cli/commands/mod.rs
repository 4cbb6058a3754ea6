//! One file a command: arguments to options, one operation, report to text or JSON.

mod backup;
mod check;
mod forget;
mod generate;
mod init;
mod key;
mod ls;
mod prune;
mod recover;
mod repair;
mod restore;
mod snapshots;
mod unforget;
mod unlock;
mod version;

use super::context::Context;
use super::exit::Outcome;
use crate::base::Result;

/// Generates the list of commands and the way to each.
macro_rules! commands {
    ($($variant:ident => $module:ident,)+) => {
        #[derive(Debug, clap::Subcommand)]
        pub(crate) enum Command {
            $($variant($module::Args),)+
        }

        impl Command {
            /// Runs the command.
            ///
            /// # Errors
            /// Those of the command.
            pub(crate) fn run(&self, context: &Context) -> Result<Outcome> {
                let outcome = match self {
                    $(Self::$variant(args) => {
                        let _span = tracing::info_span!(stringify!($module)).entered();
                        $module::run(context, args)?
                    })+
                };
                context.ui.flush()?;
                Ok(outcome)
            }
        }
    };
}

commands! {
    Init => init,
    Backup => backup,
    Snapshots => snapshots,
    Ls => ls,
    Restore => restore,
    Forget => forget,
    Unforget => unforget,
    Prune => prune,
    Check => check,
    Repair => repair,
    Recover => recover,
    Key => key,
    Unlock => unlock,
    Generate => generate,
    Version => version,
}
