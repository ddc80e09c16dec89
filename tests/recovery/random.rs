//! A seed → choices, the same on every machine (SplitMix64).

use std::time::{SystemTime, UNIX_EPOCH};

pub struct Random(u64);

/// The seed to use: `PROJECTOR_TEST_SEED`, or a new one. It is printed, so that a failure can be told again.
pub fn seed(test: &str) -> u64 {
    let given = std::env::var("PROJECTOR_TEST_SEED").ok();
    let seed = match &given {
        Some(text) => text.parse().expect("PROJECTOR_TEST_SEED is a number"),
        None => SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64 % 1_000_000_007,
    };
    println!("{test}: PROJECTOR_TEST_SEED={seed}");
    seed
}

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
