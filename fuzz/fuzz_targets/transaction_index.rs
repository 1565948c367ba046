#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| annals::fuzzing::transaction_index(data));
