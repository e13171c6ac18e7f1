#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| driftwise_fuzz::grid(bytes));
