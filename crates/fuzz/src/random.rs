//! Numbers that are the same on every run and machine.

/// `splitmix64`: any seed is a good one.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.word() % end.max(1) as u64) as usize
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        from.get(self.below(from.len())).copied()
    }

    /// A number that breaks things: a border of some width, something near `len`, or any.
    pub fn hostile(&mut self, len: usize) -> u64 {
        const BORDERS: [u64; 20] = [
            0,
            1,
            2,
            3,
            7,
            8,
            15,
            16,
            24,
            64,
            0x7f,
            0xff,
            0x7fff,
            0xffff,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            0x1_0000_0000,
            1 << 40,
            u64::MAX,
        ];
        match self.below(6) {
            0 => (len as u64)
                .wrapping_add(self.below(17) as u64)
                .wrapping_sub(8),
            1 => self.below(len.max(1)) as u64,
            2 => self.word(),
            3 => self.below(64) as u64,
            _ => self.pick(&BORDERS).unwrap_or_default(),
        }
    }
}
