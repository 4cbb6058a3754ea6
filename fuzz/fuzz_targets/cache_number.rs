//! Fuzzes `cache_number` of the shared targets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::cache_number(data));
