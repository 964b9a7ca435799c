//! Random numbers of tests, which can be had again.

use std::hash::{BuildHasher, RandomState};
use std::thread;

use proptest::test_runner::{Config, RngSeed};

use crate::generate::Random;

/// The variable with the seed to use; without it each test draws one.
const VARIABLE: &str = "RECSYS_TEST_SEED";

/// The seed of this test. How to run the test with it again is printed, which cargo shows if the test fails.
#[allow(clippy::print_stderr, reason = "cargo shows it with the test")]
pub fn seed() -> u64 {
    let seed = match std::env::var(VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{VARIABLE}={text}: {error}")),
        // It takes its keys from the operating system.
        Err(_) => RandomState::new().hash_one(0),
    };
    // Cargo sets it for tests, too.
    let package = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
    let test = thread::current().name().unwrap_or_default().to_owned();
    eprintln!("again: {VARIABLE}={seed} scripts/with-services cargo test -p {package} -- --exact {test}");
    seed
}

/// A generator that begins with [`seed`].
pub fn random() -> Random {
    Random(seed())
}

/// Settings of a test of proptest's with so many cases, drawn from [`seed`].
pub fn cases(cases: u32) -> Config {
    let rng_seed = RngSeed::Fixed(seed());
    Config { cases, failure_persistence: None, rng_seed, ..Config::default() }
}
