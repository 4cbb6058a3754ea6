//! Fuzzes `chunk_gguf` of the shared targets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::chunk_gguf(data));
