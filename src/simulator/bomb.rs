//! A small gzip file that unpacks to 64 MiB: one space, repeated.

/// Number of runs of 258 spaces: 0.4 MiB that unpack to 64 MiB.
const REPEATS: usize = (64 << 20) / 258;

/// Bits, least significant first, as DEFLATE packs them.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// Bits used of the last byte; 0 if it is full.
    used: u32,
}

impl Bits {
    fn push(&mut self, bit: u8) {
        if self.used == 0 {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= bit << self.used;
        }
        self.used = (self.used + 1) % 8;
    }

    /// A Huffman code: its bits come most significant first.
    fn code(&mut self, code: u8, len: u32) {
        (0..len).rev().for_each(|at| self.push(code >> at & 1));
    }
}

/// The file, with a wrong check sum at its end.
pub(super) fn gzip() -> Vec<u8> {
    let mut bits = Bits { bytes: vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF], used: 0 };
    // The last block, with the fixed codes.
    for bit in [1, 1, 0] {
        bits.push(bit);
    }
    // A literal space: 0x30 + 0x20.
    bits.code(0x50, 8);
    for _ in 0..REPEATS {
        // Length 258 (symbol 285: 0b11000000 + 5), then distance 1 (symbol 0).
        bits.code(0b1100_0101, 8);
        bits.code(0, 5);
    }
    // The end of the block (symbol 256), and a check sum that a reader which stops in time does not reach.
    bits.code(0, 7);
    bits.bytes.extend([0; 8]);
    bits.bytes
}
