#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::key_index(data));
