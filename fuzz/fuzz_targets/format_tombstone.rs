//! Fuzzes `format_tombstone` of the shared targets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::format_tombstone(data));
