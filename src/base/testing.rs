//! Says past the test runner, which keeps what a passing test prints, what could not be tried.

use std::io::Write;

/// Tells that `test` could not run; `.ci/run` repeats such lines at its end.
pub(crate) fn skip(test: &str, why: &str) {
    let line = format!("SKIPPED: {test}: {why}\n");
    // A closed standard error is no reason to fail a test.
    drop(std::io::stderr().write_all(line.as_bytes()));
}
