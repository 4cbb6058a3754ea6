//! Fuzzes `format_pack` of the shared targets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::format_pack(data));
