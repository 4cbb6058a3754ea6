//! Fuzzes `chunk_cut` of the shared targets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::chunk_cut(data));
