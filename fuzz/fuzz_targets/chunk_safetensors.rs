//! Fuzzes `chunk_safetensors` of the shared targets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::chunk_safetensors(data));
