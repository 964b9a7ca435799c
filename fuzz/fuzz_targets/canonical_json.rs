#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| recsys_fuzz::canonical_json(data));
