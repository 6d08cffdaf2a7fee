//! The encodings of Parquet's pages, both ways: DELTA_BINARY_PACKED, PLAIN, and the mixture of runs
//! and packed bits that levels and dictionary numbers have.

use crate::thrift::{varint, zigzag};

/// Numbers that are packed to whole bytes.
const GROUP: usize = 8;
const BLOCK: usize = 128;
const MINIBLOCKS: usize = 4;
const MINIBLOCK: usize = BLOCK / MINIBLOCKS;

/// Packs the lowest `width` bits (at most 64) of each value, the first one lowest.
struct Packer<'a> {
    bytes: &'a mut Vec<u8>,
    width: u32,
    held: u64,
    count: u32,
}

impl Packer<'_> {
    #[inline(always)]
    fn push(&mut self, value: u64) {
        self.held |= value << self.count;
        let total = self.count + self.width;
        if total < 64 {
            self.count = total;
            return;
        }
        self.bytes.extend_from_slice(&self.held.to_le_bytes());
        let taken = 64 - self.count;
        self.held = if taken < 64 { value >> taken } else { 0 };
        self.count = total - 64;
    }

    fn finish(self) {
        let bytes = self.count.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.held.to_le_bytes()[..bytes]);
    }
}

fn packer(bytes: &mut Vec<u8>, width: u32) -> Packer<'_> {
    Packer { bytes, width, held: 0, count: 0 }
}

/// Reads `width` bits at a position in bits.
#[inline]
fn bits(bytes: &[u8], position: usize, width: u32) -> u64 {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
    let first = position / 8;
    let shift = position as u32 % 8;
    let low = u64::from_le_bytes(std::array::from_fn(|at| byte(first + at)));
    let high = u64::from(byte(first + 8));
    let value = low >> shift | if shift > 0 { high << (64 - shift) } else { 0 };
    if width == 64 { value } else { value & ((1 << width) - 1) }
}

/// The bits that a number needs.
pub const fn width_of(number: u64) -> u32 {
    64 - number.leading_zeros()
}

/// Writes small numbers of `width` bits: one run when they are all the same, else packed bits.
pub fn write_hybrid(bytes: &mut Vec<u8>, values: &[u32], width: u32) {
    let first = values.first().copied().unwrap_or_default();
    if width == 0 || values.iter().all(|&value| value == first) {
        return write_run(bytes, values.len(), first, width);
    }
    let (whole, rest) = values.as_chunks();
    let mut last = [0; GROUP];
    last[..rest.len()].copy_from_slice(rest);
    let groups = whole.iter().chain((!rest.is_empty()).then_some(&last));
    let count = values.len().div_ceil(GROUP);
    varint(bytes, (count as u64) << 1 | 1);
    if width > 16 {
        let mut packer = packer(bytes, width);
        groups.flatten().for_each(|&value| packer.push(u64::from(value)));
        return packer.finish();
    }
    // A group fills whole bytes, and two words at most: what is behind it is written over.
    let mut at = bytes.len();
    bytes.resize(at + count * width as usize + 16, 0);
    for group in groups {
        let (low, high) = group.split_at(GROUP / 2);
        let packed = pack(low, width) | pack(high, width) << (GROUP as u32 / 2 * width);
        bytes[at..at + 16].copy_from_slice(&packed.to_le_bytes());
        at += width as usize;
    }
    bytes.truncate(at);
}

/// A word of numbers of `width` bits.
#[inline(always)]
fn pack(values: &[u32], width: u32) -> u128 {
    let shifted = values.iter().zip(0..).map(|(&value, at)| u64::from(value) << (at * width));
    u128::from(shifted.fold(0, |all, one| all | one))
}

/// Writes one number so many times.
pub fn write_run(bytes: &mut Vec<u8>, count: usize, value: u32, width: u32) {
    varint(bytes, (count as u64) << 1);
    bytes.extend_from_slice(&value.to_le_bytes()[..width.div_ceil(8) as usize]);
}

/// Reads as many numbers as `write_hybrid` has written.
pub fn read_hybrid(bytes: &[u8], count: usize, width: u32, values: &mut Vec<u32>) {
    let (header, rest) = read_varint(bytes);
    if header & 1 == 0 {
        let mut value = [0; 4];
        let length = width.div_ceil(8) as usize;
        value[..length].copy_from_slice(&rest[..length]);
        values.extend(std::iter::repeat_n(u32::from_le_bytes(value), count));
    } else {
        values.extend((0..count).map(|at| bits(rest, at * width as usize, width) as u32));
    }
}

pub fn read_varint(bytes: &[u8]) -> (u64, &[u8]) {
    let mut value = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        value |= u64::from(byte & 0x7f) << (at * 7);
        if byte < 0x80 {
            return (value, &bytes[at + 1..]);
        }
    }
    (value, &[])
}

fn read_zigzag(bytes: &[u8]) -> (i64, &[u8]) {
    let (value, rest) = read_varint(bytes);
    ((value >> 1) as i64 ^ -((value & 1) as i64), rest)
}

/// Writes numbers by their differences, packed in as few bits as each 32 of them need.
pub fn write_delta(bytes: &mut Vec<u8>, values: &[i64]) {
    varint(bytes, BLOCK as u64);
    varint(bytes, MINIBLOCKS as u64);
    varint(bytes, values.len() as u64);
    let Some(&first) = values.first() else { return zigzag(bytes, 0) };
    zigzag(bytes, first);
    let mut deltas = Vec::with_capacity(BLOCK);
    for block in values[1..].chunks(BLOCK).zip(values.chunks(BLOCK)) {
        let (block, before) = block;
        deltas.clear();
        deltas.extend(block.iter().zip(before).map(|(value, last)| value.wrapping_sub(*last)));
        let least = deltas.iter().copied().min().unwrap_or_default();
        zigzag(bytes, least);
        let above = |delta: &i64| delta.wrapping_sub(least) as u64;
        let width = |part: &[i64]| width_of(part.iter().map(above).fold(0, |all, one| all | one));
        let mut widths = [0; MINIBLOCKS];
        for (each, part) in widths.iter_mut().zip(deltas.chunks(MINIBLOCK)) {
            *each = width(part) as u8;
        }
        bytes.extend_from_slice(&widths);
        for (part, width) in deltas.chunks(MINIBLOCK).zip(widths) {
            let mut packer = packer(bytes, u32::from(width));
            part.iter().for_each(|delta| packer.push(above(delta)));
            (part.len()..MINIBLOCK).for_each(|_| packer.push(0));
            packer.finish();
        }
    }
}

/// Reads what `write_delta` has written.
pub fn read_delta(bytes: &[u8], values: &mut Vec<i64>) {
    let (_, rest) = read_varint(bytes);
    let (_, rest) = read_varint(rest);
    let (count, rest) = read_varint(rest);
    let (mut value, mut rest) = read_zigzag(rest);
    let mut left = count as usize;
    if left > 0 {
        values.push(value);
        left -= 1;
    }
    while left > 0 {
        let (least, after) = read_zigzag(rest);
        let (widths, mut packed) = after.split_at(MINIBLOCKS);
        for &width in widths {
            let here = left.min(MINIBLOCK);
            if here == 0 {
                break;
            }
            let width = u32::from(width);
            for at in 0..here {
                let above = bits(packed, at * width as usize, width) as i64;
                value = value.wrapping_add(least).wrapping_add(above);
                values.push(value);
            }
            packed = &packed[MINIBLOCK * width as usize / 8..];
            left -= here;
        }
        rest = packed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_numbers_come_back() {
        for (width, count) in
            [(0, 5), (1, 1), (1, 100), (3, 64), (11, 1000), (16, 77), (17, 33), (32, 9)]
        {
            let most = if width == 32 { u32::MAX } else { (1 << width) - 1 };
            let some: Vec<u32> =
                (0..count).map(|n: u32| n.wrapping_mul(2_654_435_761) & most).collect();
            for values in [some, vec![most; count as usize]] {
                let (mut bytes, mut read) = (vec![], vec![]);
                write_hybrid(&mut bytes, &values, width);
                read_hybrid(&bytes, values.len(), width, &mut read);
                assert_eq!(read, values);
            }
        }
    }

    #[test]
    fn differences_come_back() {
        for count in [0, 1, 2, 31, 33, 128, 129, 130, 1000] {
            let even: Vec<i64> = (0..count).map(|n| n * 5_000_000 - 77).collect();
            let wild: Vec<i64> =
                (0..count).map(|n| n.wrapping_mul(0x5851_f42d_4c95_7f2d)).collect();
            let edges: Vec<i64> =
                (0..count).map(|n| if n % 2 == 0 { i64::MIN } else { i64::MAX }).collect();
            for values in [even, wild, edges] {
                let (mut bytes, mut read) = (vec![], vec![]);
                write_delta(&mut bytes, &values);
                read_delta(&bytes, &mut read);
                assert_eq!(read, values);
            }
        }
    }
}
