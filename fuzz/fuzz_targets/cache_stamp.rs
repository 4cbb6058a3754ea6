//! Fuzzes `cache_stamp` of the shared targets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::cache_stamp(data));
