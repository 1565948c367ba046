#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::offset_index(data));
