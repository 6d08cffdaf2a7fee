//! How often each value comes, where few are different: those of a sensor mostly are, since it tells
//! one or two decimals.

use crate::strings::mix;

const SLOTS: usize = 1024;
/// Of so many values at least one is new, or they are not worth to be counted.
const OF_ONE: usize = 4;
/// What no value is: a NaN.
const FREE: u64 = u64::MAX;

/// A table of values by their bits; its memory is kept.
pub struct Counts {
    keys: [u64; SLOTS],
    counts: [u32; SLOTS],
    /// The places that are taken, in the order in which their values first came.
    taken: Vec<u16>,
    /// What they hold.
    counted: (Vec<f64>, Vec<u32>),
}

impl Default for Counts {
    fn default() -> Self {
        let counted = <(Vec<f64>, Vec<u32>)>::default();
        Self { keys: [FREE; SLOTS], counts: [0; SLOTS], taken: vec![], counted }
    }
}

impl Counts {
    /// The different values in the order in which they first came, and how often each comes; None
    /// where they are many.
    pub fn of(&mut self, values: &[f64]) -> Option<(&[f64], &[u32])> {
        let Self { keys, counts, taken, counted: (different, often) } = self;
        taken.iter().for_each(|&place| keys[usize::from(place)] = FREE);
        taken.clear();
        let most = (values.len() / OF_ONE).min(SLOTS / 2);
        for value in values {
            let bits = value.to_bits();
            let mut place = mix(bits, 0x9e37_79b9_7f4a_7c15) as usize % SLOTS;
            while keys[place] != bits {
                if keys[place] == FREE {
                    if taken.len() == most {
                        return None;
                    }
                    keys[place] = bits;
                    counts[place] = 0;
                    taken.push(place as u16);
                    break;
                }
                place = (place + 1) % SLOTS;
            }
            counts[place] += 1;
        }
        let places = taken.iter().map(|&place| usize::from(place));
        different.clear();
        different.extend(places.clone().map(|place| f64::from_bits(keys[place])));
        often.clear();
        often.extend(places.map(|place| counts[place]));
        Some((different, often))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_by_their_bits() {
        let mut counts = Counts::default();
        let mut of = |values: &[f64]| -> Option<Vec<(u64, u32)>> {
            let (values, counts) = counts.of(values)?;
            Some(values.iter().map(|value| value.to_bits()).zip(counts.iter().copied()).collect())
        };
        let zeros = [-0.0, 0.0, -0.0, 1.5, -0.0, 1.5, -0.0, 0.0, 1.5, 1.5, 1.5, 1.5];
        let expected = [(-0.0_f64, 4), (0.0, 2), (1.5, 6)].map(|(v, n)| (v.to_bits(), n));
        assert_eq!(of(&zeros).as_deref(), Some(&expected[..]));
        let different: Vec<f64> = (0..4_000).map(f64::from).collect();
        assert_eq!(of(&different), None);
        let many: Vec<f64> = (0..4_000).map(|value| f64::from(value % 512)).collect();
        assert_eq!(of(&many).map(|counted| counted.len()), Some(512));
        assert_eq!(of(&[7.0; 9]), Some(vec![(7.0_f64.to_bits(), 9)]));
        assert_eq!(of(&[]), Some(vec![]));
    }
}
