//! Fuzzes `format_list` of the shared targets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::format_list(data));
