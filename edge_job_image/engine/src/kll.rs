//! Quantiles in a form that can be merged: the KLL sketch of Apache DataSketches for doubles.
//!
//! All values of a window are at hand and sorted, so nothing is left to chance as it is in a sketch
//! of a stream: neighbours in the order are put together in blocks of a power of two, and the middle
//! of each block stands for it. Up to `K` values each is a block of its own and nothing is lost; of
//! more, the rank of a value is off by at most half a block, less than one in `K` of them.
//!
//! The bytes are those that `KllDoublesSketch` of the Java library writes and heapifies.

/// The size of the sketches, which is the default of the libraries and of Spark.
pub const K: usize = 200;
/// The least capacity of a level.
const M: u8 = 8;
const FAMILY: u8 = 15;
const LEVEL_ZERO_SORTED: u8 = 2;
const SINGLE: u8 = 4;

/// The sketch of some values in their order; there must be one at least.
pub fn sketch(sorted: &[f64]) -> Vec<u8> {
    let count = sorted.len();
    let k = (K as u16).to_le_bytes();
    if let [only] = sorted {
        let flags = SINGLE | LEVEL_ZERO_SORTED;
        let mut bytes = vec![2, 2, FAMILY, flags, k[0], k[1], M, 0];
        bytes.extend_from_slice(&only.to_le_bytes());
        return bytes;
    }
    // The first level on which the blocks are few enough.
    let top = (0..).find(|level| count >> level <= K).unwrap_or_default();
    let on = |level: usize| match level {
        _ if level == top => count >> top,
        _ => count >> level & 1,
    };
    let retained: usize = (0..=top).map(on).sum();
    let mut bytes = Vec::with_capacity(24 + 4 * top + 8 * (retained + 2));
    bytes.extend_from_slice(&[5, 1, FAMILY, LEVEL_ZERO_SORTED, k[0], k[1], M, 0]);
    bytes.extend_from_slice(&(count as u64).to_le_bytes());
    bytes.extend_from_slice(&[k[0], k[1], top as u8 + 1, 0]);
    // Levels lie at the end of an array as large as a sketch of so many levels may be.
    let mut begin = capacity(top + 1) - retained;
    for level in 0..=top {
        bytes.extend_from_slice(&(begin as u32).to_le_bytes());
        begin += on(level);
    }
    bytes.extend_from_slice(&sorted[0].to_le_bytes());
    bytes.extend_from_slice(&sorted[count - 1].to_le_bytes());
    // The large blocks are those of the least values, and each smaller one is of greater values.
    for level in 0..=top {
        let size = 1 << level;
        let behind = if level == top { 0 } else { (count >> (level + 1)) << (level + 1) };
        let blocks = sorted[behind..].chunks_exact(size).take(on(level));
        blocks.for_each(|block| bytes.extend_from_slice(&block[size / 2].to_le_bytes()));
    }
    bytes
}

/// How many values a sketch of so many levels can hold.
fn capacity(levels: usize) -> usize {
    (0..levels).map(|depth| of_level(depth).max(M.into())).sum()
}

/// `K` times two thirds to the power of the levels above, rounded.
fn of_level(depth: usize) -> usize {
    let whole = ((2 * K as u128) << depth) / 3_u128.pow(depth as u32);
    whole.div_ceil(2) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values and weights of a sketch, and its count.
    fn read(bytes: &[u8]) -> (Vec<(f64, u64)>, u64) {
        let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let levels = usize::from(bytes[18]);
        let mut offsets: Vec<usize> = (0..levels)
            .map(|level| u32::from_le_bytes(bytes[20 + 4 * level..][..4].try_into().unwrap()))
            .map(|offset| offset as usize)
            .collect();
        offsets.push(capacity(levels));
        let items = 20 + 4 * levels + 16;
        let values = (0..levels).flat_map(|level| {
            let of_level = offsets[level]..offsets[level + 1];
            let first = offsets[0];
            of_level.map(move |at| (f64::from_bits(long(items + 8 * (at - first))), 1 << level))
        });
        (values.collect(), long(8))
    }

    #[test]
    fn up_to_k_values_nothing_is_lost() {
        let sorted: Vec<f64> = (0..K).map(|value| value as f64).collect();
        let (values, count) = read(&sketch(&sorted));
        assert_eq!(count, K as u64);
        assert_eq!(values, sorted.iter().map(|&value| (value, 1)).collect::<Vec<_>>());
        assert_eq!(sketch(&[1.5]).len(), 16);
    }

    #[test]
    fn ranks_are_off_by_less_than_one_in_k() {
        for count in [201, 255, 400, 401, 12_345, 86_400] {
            let sorted: Vec<f64> = (0..count).map(|value| value as f64).collect();
            let (mut values, _) = read(&sketch(&sorted));
            values.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert_eq!(values.iter().map(|(_, weight)| weight).sum::<u64>(), count);
            let mut rank = 0;
            for (value, weight) in values {
                // Of the values up to this one, and before it.
                let (before, with) = (rank, rank + weight);
                let worst = (value + 1.0 - with as f64).abs().max((value - before as f64).abs());
                assert!(worst <= count as f64 / K as f64, "{count}: {value} is off by {worst}");
                rank = with;
            }
        }
    }

    #[test]
    fn a_level_holds_two_thirds_of_the_one_above() {
        assert_eq!([0, 1, 2, 3].map(of_level), [200, 133, 89, 59]);
        assert_eq!(capacity(1), 200);
    }
}
