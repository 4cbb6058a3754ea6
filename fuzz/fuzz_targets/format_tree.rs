//! Fuzzes `format_tree` of the shared targets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::format_tree(data));
