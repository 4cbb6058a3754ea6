//! The program `parados`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    parados::cli::main()
}
