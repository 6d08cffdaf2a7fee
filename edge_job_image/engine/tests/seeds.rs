//! What the fuzzer begins with, checked in each test: `make fuzz-engine` goes on from there.

#[path = "../fuzz/check.rs"]
mod check;

use std::fs;

use check::Site;

#[test]
fn the_engine_keeps_to_its_word_on_all_seeds() {
    let mut site = Site::new("seeds");
    // Cargo runs tests in the package's folder; the path at build time may be another clone's, with
    // which the compiled test is shared.
    let seeds: Vec<_> = fs::read_dir("fuzz/seeds").expect("there are seeds").collect();
    assert!(seeds.len() > 20, "{}", seeds.len());
    for seed in seeds {
        let seed = fs::read(seed.expect("it is listed").path()).expect("it can be read");
        let content = seed.get(3..).expect("three bytes come before the content");
        // The rules of the seed, and some others, for the same content.
        site.check(&seed);
        for rules in (0..120_u8).step_by(29) {
            let choice = [rules, rules.wrapping_mul(7), rules.wrapping_mul(31)];
            let other = [&choice, content].concat();
            site.check(&other);
        }
    }
}
