//! What is said when the program itself is wrong.

use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};

/// Tells about panics in our own words.
pub(crate) fn install() {
    panic::set_hook(Box::new(|info| {
        drop(io::stderr().lock().write_all(text(info).as_bytes()));
        // Other threads may wait for this one for ever, and a process may die at any instruction.
        signal_hook::low_level::exit(1);
    }));
}

fn text(info: &PanicHookInfo<'_>) -> String {
    let message = payload(info);
    let place = info.location().map_or_else(String::new, |place| format!(" at {place}"));
    format!(
        "error: this is a bug in parados {}: {message}{place}\n\
         hint: Snapshots that were committed are not touched by it. Please report these lines and \
         what you were doing.\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn payload<'i>(info: &'i PanicHookInfo<'_>) -> &'i str {
    let payload = info.payload();
    payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}
