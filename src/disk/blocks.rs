//! A buffer of whole blocks at an address the kernel can write from without copying.
//! Not here: who writes it. Alignment as O_DIRECT asks for it: open(2), "O_DIRECT".

/// The block everything is aligned to and padded to, in bytes.
pub const BLOCK_BYTES: usize = 4096;

/// Whole blocks, aligned in memory. Reused, it allocates only to grow.
#[derive(Debug, Default)]
pub struct Blocks {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Blocks {
    /// No blocks yet.
    pub fn new() -> Self {
        Blocks::default()
    }

    /// The blocks that hold these bytes, the last one filled up with zeros.
    pub fn of(bytes: &[u8]) -> Self {
        let mut blocks = Blocks::new();
        let (here, _) = blocks.reset(bytes.len()).split_at_mut(bytes.len());
        here.copy_from_slice(bytes);
        blocks
    }

    /// As many zeroed blocks as hold `len` bytes, for filling.
    pub fn reset(&mut self, len: usize) -> &mut [u8] {
        let blocks = self.resized(len);
        blocks.fill(0);
        blocks
    }

    /// As many blocks as hold `len` bytes, whatever is in them, to be filled whole.
    pub fn resized(&mut self, len: usize) -> &mut [u8] {
        self.len = len.next_multiple_of(BLOCK_BYTES);
        let needed = self.len + BLOCK_BYTES;
        if self.memory.len() < needed || self.memory.len() > 4 * needed.max(1 << 20) {
            self.memory = vec![0; needed];
            let address = self.memory.as_ptr().addr();
            self.start = address.next_multiple_of(BLOCK_BYTES) - address;
        }
        let whole = self.start..self.start + self.len;
        self.memory.get_mut(whole).expect("the memory has a block more than needed")
    }

    /// The blocks' bytes, to change.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..self.start + self.len).unwrap_or(&mut [])
    }

    /// The blocks' bytes.
    pub fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.start + self.len).unwrap_or(&[])
    }
}

#[cfg(test)]
#[path = "blocks_tests.rs"]
mod tests;
