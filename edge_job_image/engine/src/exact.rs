//! Sums that are rounded once, whatever the order of the values: what Python's `fsum` gives.

/// The sum of what `of` makes of the values, correctly rounded; None when it, or a sum on the way,
/// is too large. No term is larger than `largest`.
///
/// Most sums are certain after one pass with the error of each addition kept: the rest of the
/// error is then far too small to change the rounding. Where it is not, the sum is done exactly.
pub fn sum(values: &[f64], largest: f64, of: impl Fn(f64) -> f64 + Copy) -> Option<f64> {
    let most = largest * values.len() as f64;
    let certain = if most < LARGE { certain(values, most, of) } else { None };
    certain.map_or_else(|| exact(values.iter().map(|&value| of(value))), Some)
}

/// Sums up to this are far from being too large.
const LARGE: f64 = 1e300;

/// The sum of terms whose sizes add up to `most` at most, if one pass makes it certain.
fn certain(values: &[f64], most: f64, of: impl Fn(f64) -> f64) -> Option<f64> {
    if most == 0.0 {
        return Some(0.0);
    }
    let mut lanes = Lanes::new(most);
    let (fours, rest) = values.as_chunks::<LANES>();
    for four in fours {
        four.iter().enumerate().for_each(|(lane, &value)| lanes.add(lane, of(value)));
    }
    rest.iter().enumerate().for_each(|(lane, &value)| lanes.add(lane, of(value)));
    lanes.sum(fours.len() + 1)
}

/// The same of different values that come so often each.
fn certain_counted(
    (values, counts): (&[f64], &[u32]),
    most: f64,
    of: impl Fn(f64) -> f64,
) -> Option<f64> {
    if most == 0.0 {
        return Some(0.0);
    }
    let mut lanes = Lanes::new(most);
    for (nth, (&value, &count)) in values.iter().zip(counts).enumerate() {
        // Each half of a term has so few bits that its product is exact.
        let term = of(value);
        let high = f64::from_bits(term.to_bits() >> HALF << HALF);
        let lane = nth % 2 * 2;
        lanes.add(lane, high * f64::from(count));
        lanes.add(lane + 1, (term - high) * f64::from(count));
    }
    lanes.sum(values.len() / 2 + 1)
}

/// Bits of the lower half of a double's digits.
const HALF: u32 = 27;

/// Sums that do not wait for one another.
const LANES: usize = 4;

/// Each lane counts from a number so large that all of its sums have the same last binary place,
/// its unit. So a sum says exactly what was added to it, and a subtraction what was not.
struct Lanes {
    start: f64,
    unit: f64,
    highs: [f64; LANES],
    lows: [f64; LANES],
}

impl Lanes {
    /// Lanes for terms whose sizes add up to `most` at most.
    #[inline(always)]
    fn new(most: f64) -> Self {
        // A power of two above twice of that: sums stay between it and its double.
        let power = f64::from_bits((((2.0 * most).to_bits() >> 52) + 1) << 52);
        let start = 1.5 * power;
        Self { start, unit: power * f64::EPSILON, highs: [start; LANES], lows: [0.0; LANES] }
    }

    #[inline(always)]
    fn add(&mut self, lane: usize, value: f64) {
        let total = self.highs[lane] + value;
        self.lows[lane] += value - (total - self.highs[lane]);
        self.highs[lane] = total;
    }

    /// The sum of all lanes, each of which took so many terms at most, if it is certain.
    #[inline(always)]
    fn sum(self, terms: usize) -> Option<f64> {
        let high = self.highs.iter().map(|high| high - self.start).sum::<f64>();
        let (rounded, rest) = two_sum(high, self.lows.iter().sum());
        // A lane's low part is a sum of so many terms of at most half a unit, and each addition to
        // it was off by at most half a unit of what it came to.
        let terms = (terms + 2 * LANES) as f64;
        let doubt = 2.0 * terms * terms * self.unit * f64::EPSILON;
        let size = rounded.abs();
        let half_step = (size - size.next_down()) / 2.0;
        (size > f64::MIN_POSITIVE && rest.abs() + doubt < half_step * 0.999).then_some(rounded)
    }
}

/// The sum of two doubles and its error, exactly (Knuth).
#[inline(always)]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

/// CPython's `math.fsum`: partial sums that do not overlap (Shewchuk).
#[cold]
fn exact(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut partials: Vec<f64> = Vec::new();
    let mut special = 0.0;
    for value in values {
        let mut x = value;
        let mut kept = 0;
        for at in 0..partials.len() {
            let mut y = partials[at];
            if x.abs() < y.abs() {
                std::mem::swap(&mut x, &mut y);
            }
            let high = x + y;
            let low = y - (high - x);
            if low != 0.0 {
                partials[kept] = low;
                kept += 1;
            }
            x = high;
        }
        partials.truncate(kept);
        if x != 0.0 {
            if !x.is_finite() {
                if value.is_finite() {
                    return None;
                }
                special += value;
                partials.clear();
            } else {
                partials.push(x);
            }
        }
    }
    if special != 0.0 {
        return Some(special);
    }
    let Some(mut high) = partials.pop() else {
        return Some(0.0);
    };
    let mut low = 0.0;
    while let Some(y) = partials.pop() {
        let x = high;
        high = x + y;
        low = y - (high - x);
        if low != 0.0 {
            break;
        }
    }
    // Half-way cases are rounded by what is left below them.
    if let Some(&next) = partials.last()
        && ((low < 0.0 && next < 0.0) || (low > 0.0 && next > 0.0))
    {
        let y = low * 2.0;
        let x = high + y;
        if y == x - high {
            high = x;
        }
    }
    Some(high)
}

/// Statistics that can be merged: `m2` is the sum of squared deviations from the mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    pub count: i64,
    pub mean: f64,
    pub m2: f64,
    pub min: f64,
    pub max: f64,
}

impl State {
    /// The state of some values, None of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        let (min, max) = limits(values)?;
        let largest = max.abs().max(min.abs());
        let mean = match sum(values, largest, |value| value) {
            Some(sum) => sum / count,
            // The sum is beyond a double where the mean is not.
            None => sum(values, largest / count, |value| value / count)?,
        };
        let farthest = (max - mean).max(mean - min);
        let square = |value| (value - mean) * (value - mean);
        let m2 = sum(values, farthest * farthest, square).unwrap_or(f64::INFINITY);
        Some(Self { count: values.len() as i64, mean, m2, min, max })
    }

    /// The same state of different values, in the order in which they first came, that come so
    /// often each; None as well where it takes more to be certain.
    pub fn of_counted(values: &[f64], counts: &[u32]) -> Option<Self> {
        let all: i64 = counts.iter().copied().map(i64::from).sum();
        let count = all as f64;
        let (min, max) = limits(values)?;
        let sum = |largest: f64, of: &dyn Fn(f64) -> f64| {
            let is_exact = all < 1 << (f64::MANTISSA_DIGITS - HALF);
            let most = largest * count;
            (is_exact && most < LARGE).then(|| certain_counted((values, counts), most, of))?
        };
        let mean = sum(max.abs().max(min.abs()), &|value| value)? / count;
        let farthest = (max - mean).max(mean - min);
        let m2 = sum(farthest * farthest, &|value| (value - mean) * (value - mean))?;
        Some(Self { count: all, mean, m2, min, max })
    }
}

/// The least and the greatest of some values; of zeros with either sign the first one.
fn limits(values: &[f64]) -> Option<(f64, f64)> {
    let &first = values.first()?;
    let (mut least, mut most) = ([first; LANES], [first; LANES]);
    let (fours, rest) = values.as_chunks::<LANES>();
    for four in fours {
        for (lane, &value) in four.iter().enumerate() {
            least[lane] = if value < least[lane] { value } else { least[lane] };
            most[lane] = if value > most[lane] { value } else { most[lane] };
        }
    }
    let min = least.iter().chain(rest).copied().fold(first, f64::min);
    let max = most.iter().chain(rest).copied().fold(first, f64::max);
    let as_it_came = |limit: f64| match limit {
        0.0 => values.iter().copied().find(|&value| value == 0.0),
        limit => Some(limit),
    };
    as_it_came(min).zip(as_it_came(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_rounded_once() {
        let largest = |values: &[f64]| values.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        let sum = |values: &[f64]| sum(values, largest(values), |value| value);
        assert_eq!(sum(&[]), Some(0.0));
        assert_eq!(sum(&[0.0, -0.0]), Some(0.0));
        assert_eq!(sum(&[5e-324, 5e-324]), Some(1e-323));
        assert_eq!(sum(&[0.1; 10]), Some(1.0));
        assert_eq!(sum(&[1e100, 1.0, -1e100]), Some(1.0));
        assert_eq!(sum(&[1e16, 1.0, 1e-16]), Some(10_000_000_000_000_002.0));
        assert_eq!(super::sum(&[1e308, 1e308], 1e308, |value| value), None);
        assert_eq!(super::sum(&[1.0, 3.0], 9.0, |value| value * value), Some(10.0));
    }

    #[test]
    fn certain_sums_are_the_exact_ones() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as f64 / 100.0 - 1e7
        };
        let mut sure = 0;
        for length in 0..500 {
            let values: Vec<f64> = (0..length).map(|_| random()).collect();
            if let Some(sum) = certain(&values, 1e8 * length as f64, |value| value) {
                assert_eq!(Some(sum), exact(values.iter().copied()));
                sure += 1;
            }
        }
        assert!(sure > 450, "{sure}");
    }

    #[test]
    fn counted_values_have_the_same_state() {
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let mut sure = 0;
        for length in 1..200 {
            let values: Vec<f64> = (0..length)
                .map(|_| (random(1 << 31) as f64 - 1e9) / [1.0, 3.0, 100.0][length % 3])
                .collect();
            let counts: Vec<u32> = (0..length).map(|_| 1 + random(1_000) as u32).collect();
            let all: Vec<f64> = values
                .iter()
                .zip(&counts)
                .flat_map(|(&value, &count)| std::iter::repeat_n(value, count as usize))
                .collect();
            if let Some(counted) = State::of_counted(&values, &counts) {
                assert_eq!(Some(counted), State::of(&all));
                sure += 1;
            }
        }
        assert!(sure > 190, "{sure}");
        assert_eq!(State::of_counted(&[], &[]), None);
        assert_eq!(State::of_counted(&[1e300], &[2]), None);
        assert_eq!(State::of_counted(&[0.1], &[1 << 26]), None);
        let zeros = State::of_counted(&[-0.0, 0.0], &[3, 4]).unwrap();
        assert!(zeros.min.is_sign_negative() && zeros.mean.is_sign_positive());
    }

    #[test]
    fn states_hold_what_merging_needs() {
        assert_eq!(State::of(&[]), None);
        let state = State::of(&[4.0, 1.0, 1.0]).unwrap();
        assert_eq!((state.count, state.mean, state.m2), (3, 2.0, 6.0));
        assert_eq!((state.min, state.max), (1.0, 4.0));
        let signs = State::of(&[1.0, 0.0, -0.0, 2.0, 3.0]).unwrap();
        assert!(signs.min.is_sign_positive());
        assert!(State::of(&[-0.0, 0.0]).unwrap().max.is_sign_negative());
        assert_eq!(State::of(&[1.7e308, 1.7e308]).unwrap().mean, 1.7e308);
    }
}
