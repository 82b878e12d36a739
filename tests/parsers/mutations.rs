//! Inputs that are nearly right: what a seed says is done to one that is.

/// Numbers that a seed decides: SplitMix64.
pub(crate) struct Mutations(u64);

impl Mutations {
    pub(crate) fn new(seed: u64) -> Mutations {
        Mutations(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// A range within so many bytes, mostly a short one.
    fn range(&mut self, len: usize) -> (usize, usize) {
        let at = self.below(len + 1);
        let longest = if self.below(4) == 0 { len } else { 9 };
        (at, at + self.below((len - at).min(longest) + 1))
    }

    /// One input.
    pub(crate) fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes, seeds);
        }
        bytes.truncate(1 << 20);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let (low, high) = self.range(bytes.len());
        match self.below(9) {
            0 if low < bytes.len() => bytes[low] ^= 1 << self.below(8),
            1 if low < bytes.len() => bytes[low] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b'"', b'0'][self.below(8)],
            2 => drop(bytes.drain(low..high)),
            3 => bytes.truncate(low),
            4 => {
                let again = bytes[low..high].to_vec();
                bytes.splice(low..low, again);
            }
            5 => {
                let random: Vec<u8> = (0..self.below(9)).map(|_| self.next() as u8).collect();
                bytes.splice(low..high, random);
            }
            6 => {
                let other = &seeds[self.below(seeds.len())];
                let (from, to) = self.range(other.len());
                bytes.splice(low..high, other[from..to].iter().copied());
            }
            7 => bytes[low..high].reverse(),
            _ => {
                // A length of another size, as formats write them.
                let number = [0, 1, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX][self.below(7)];
                let width = [1, 2, 4, 8][self.below(4)];
                let written = if self.below(2) == 0 { number.to_be_bytes() } else { number.to_le_bytes() };
                let written = if self.below(2) == 0 { &written[..width] } else { &written[8 - width..] };
                let end = (low + width).min(bytes.len());
                bytes.splice(low..end, written.iter().copied());
            }
        }
    }
}
