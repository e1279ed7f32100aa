//! Random choices that a number stands for, so that a failure can be had again.

/// A generator of Marsaglia's (xorshift64): good enough to choose by, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The choices that this number stands for.
    pub fn new(seed: u64) -> Self {
        // Spread, so that neighbours have nothing in common; zero would stay zero.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From `NEXUS_SEED`, or new ones; the number is printed.
    pub fn of_run() -> Self {
        let given = std::env::var("NEXUS_SEED").ok();
        let seed = given.map_or_else(
            || uuid::Uuid::new_v4().as_u64_pair().1,
            |text| text.parse().expect("NEXUS_SEED is a whole number"),
        );
        println!("NEXUS_SEED={seed}");
        Self::new(seed)
    }

    /// A generator of its own for a part of the test.
    pub fn fork(&mut self) -> Self {
        Self::new(self.next())
    }

    /// A number below another.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// The items in another order.
    pub fn shuffled<T>(&mut self, mut items: Vec<T>) -> Vec<T> {
        for place in (1..items.len()).rev() {
            let other = self.below(place as u64 + 1);
            items.swap(place, usize::try_from(other).expect("less than a place"));
        }
        items
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
