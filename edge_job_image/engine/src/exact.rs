//! Sums that are rounded once, whatever the order of the values: what Python's `fsum` gives.

/// The sum of the values, correctly rounded; None when it, or a sum on the way, is too large.
///
/// Most sums are certain after one pass with the error of each addition kept: the rest of the
/// error is then far too small to change the rounding. Where it is not, the sum is done exactly.
pub fn sum(values: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    certain(values.clone()).map_or_else(|| exact(values), Some)
}

fn certain(values: impl Iterator<Item = f64>) -> Option<f64> {
    const LARGE: f64 = 1e300;
    let (mut high, mut low, mut errors, mut count) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
    let mut largest = 0.0_f64;
    for value in values {
        let (total, error) = two_sum(high, value);
        high = total;
        low += error;
        errors += error.abs();
        largest = largest.max(total.abs());
        count += 1.0;
    }
    // Infinities are larger, and stay the largest when they make a NaN.
    if largest >= LARGE {
        return None;
    }
    if errors == 0.0 {
        return Some(high);
    }
    let (rounded, rest) = two_sum(high, low);
    // Each of `count` additions to `low` was off by at most half a unit of what it came to.
    let doubt = count * errors * f64::EPSILON;
    let size = rounded.abs();
    let half_step = (size - size.next_down()) / 2.0;
    (size > f64::MIN_POSITIVE && rest.abs() + doubt < half_step * 0.999).then_some(rounded)
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
        let (&first, rest) = values.split_first()?;
        let mean = match sum(values.iter().copied()) {
            Some(sum) => sum / count,
            // The sum is beyond a double where the mean is not.
            None => sum(values.iter().map(|value| value / count))?,
        };
        let square = |value: &f64| (value - mean) * (value - mean);
        let m2 = sum(values.iter().map(square)).unwrap_or(f64::INFINITY);
        let least = |least: f64, &value: &f64| if value < least { value } else { least };
        let most = |most: f64, &value: &f64| if value > most { value } else { most };
        let (min, max) = (rest.iter().fold(first, least), rest.iter().fold(first, most));
        Some(Self { count: values.len() as i64, mean, m2, min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_rounded_once() {
        let sum = |values: &[f64]| sum(values.iter().copied());
        assert_eq!(sum(&[]), Some(0.0));
        assert_eq!(sum(&[0.1; 10]), Some(1.0));
        assert_eq!(sum(&[1e100, 1.0, -1e100]), Some(1.0));
        assert_eq!(sum(&[1e16, 1.0, 1e-16]), Some(10_000_000_000_000_002.0));
        assert_eq!(sum(&[1e308, 1e308]), None);
        assert_eq!(sum(&[f64::INFINITY, 1.0]), Some(f64::INFINITY));
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
            if let Some(sum) = certain(values.iter().copied()) {
                assert_eq!(Some(sum), exact(values.iter().copied()));
                sure += 1;
            }
        }
        assert!(sure > 450, "{sure}");
    }

    #[test]
    fn states_hold_what_merging_needs() {
        assert_eq!(State::of(&[]), None);
        let state = State::of(&[4.0, 1.0, 1.0]).unwrap();
        assert_eq!((state.count, state.mean, state.m2), (3, 2.0, 6.0));
        assert_eq!((state.min, state.max), (1.0, 4.0));
        assert_eq!(State::of(&[1.7e308, 1.7e308]).unwrap().mean, 1.7e308);
    }
}
