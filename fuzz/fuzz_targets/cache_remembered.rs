//! Fuzzes `cache_remembered` of the shared targets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::cache_remembered(data));
