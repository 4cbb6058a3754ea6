//! Who is asking.

use super::environment::Environment;
use crate::base::{Clock, Result};
use crate::format::slot::Label;

/// The name of this host.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The host that a snapshot is recorded under.
///
/// # Errors
/// When the variable is not UTF-8.
pub(crate) fn host_of(typed: Option<&String>, environment: &Environment) -> Result<String> {
    Ok(match typed {
        Some(host) => host.clone(),
        None => environment.text("PARADOS_HOST")?.unwrap_or_else(host),
    })
}

/// The name of this user, or the number where there is no name.
pub(crate) fn user() -> String {
    match uzers::get_current_username() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => rustix::process::getuid().as_raw().to_string(),
    }
}

/// The label of a key slot that is made now.
pub(crate) fn label(text: &str, clock: &dyn Clock) -> Label {
    Label { created: clock.now(), host: host(), user: user(), text: text.to_owned() }
}

/// Name and version of this program.
pub(crate) fn program() -> String {
    format!("parados {}", env!("CARGO_PKG_VERSION"))
}
