//! Fuzzes `seal_slot` of the shared targets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::seal_slot(data));
