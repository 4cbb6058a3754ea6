//! The manual says what the program does.

use std::path::Path;

#[test]
fn the_manual_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let manual = parados::cli::manual();
    if std::env::var_os("PARADOS_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &manual).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == manual,
        "docs/cli.md differs from the program: run `PARADOS_UPDATE_DOCS=1 cargo test --test cli`"
    );
}
