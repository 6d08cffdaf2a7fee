//! What features tell of the values of a window, a group and a field.

use std::f64::consts::TAU;
use std::iter::repeat_n;

use crate::counts::Counts;
use crate::exact::{State, sum};
use crate::kll;
use crate::plan::Features;
use crate::table::{Kind, Value};

/// The first and the last value, each with its time.
///
/// Of values of the same time the least is the first and the greatest the last one, so that it does
/// not matter in which order they are merged.
#[derive(Clone, Copy)]
pub struct Ends {
    first: (i64, f64),
    last: (i64, f64),
}

impl Ends {
    pub fn add(ends: &mut Option<Self>, time: i64, value: f64) {
        let this = (time, value);
        let ends = ends.get_or_insert(Self { first: this, last: this });
        if this < ends.first {
            ends.first = this;
        }
        if this > ends.last {
            ends.last = this;
        }
    }
}

/// The names and kinds of the columns behind the groups.
pub fn columns(features: &Features) -> Vec<(String, Kind)> {
    let double = |name: &str| (name.to_owned(), Kind::Double);
    let mut columns = vec![("field".to_owned(), Kind::String), ("count".to_owned(), Kind::Long)];
    columns.extend(["mean", "m2", "min", "max"].map(double));
    if !features.quantiles.is_empty() {
        columns.extend(features.quantiles.iter().map(|percent| double(&format!("p{percent}"))));
        columns.push(("quantiles".to_owned(), Kind::Binary));
    }
    for (is_wanted, name) in [(features.first, "first"), (features.last, "last")] {
        if is_wanted {
            columns.extend([(format!("{name}_time"), Kind::Time), double(name)]);
        }
    }
    if features.circular {
        columns.extend(["sin", "cos"].map(double));
    }
    columns
}

/// Gives what is in these columns, one after the other; nothing when there is no value.
///
/// `scratch` is memory to use; `period` that of a field whose values go round.
pub fn summarize(
    features: &Features,
    (name, period): (&str, Option<f64>),
    values: &[f64],
    ends: Option<Ends>,
    scratch: &mut Scratch,
    mut give: impl FnMut(Value<'_>),
) {
    let summed = if features.quantiles.is_empty() {
        State::of(values).map(|state| (state, [].as_slice()))
    } else {
        scratch.sort(values)
    };
    let Some((state, sorted)) = summed else {
        return;
    };
    give(Value::String(name.as_bytes()));
    give(Value::Long(state.count));
    for number in [state.mean, state.m2, state.min, state.max] {
        give(Value::Double(number));
    }
    if !features.quantiles.is_empty() {
        for &percent in &features.quantiles {
            give(Value::Double(quantile(sorted, percent)));
        }
        give(Value::Binary(&kll::sketch(sorted)));
    }
    if let Some(Ends { first, last }) = ends {
        for (is_wanted, (time, value)) in [(features.first, first), (features.last, last)] {
            if is_wanted {
                give(Value::Long(time));
                give(Value::Double(value));
            }
        }
    }
    if features.circular {
        for of_angle in [f64::sin, f64::cos] {
            give(period.map_or(Value::Null, |period| {
                let part = |value: f64| of_angle(value / period * TAU);
                Value::Double(sum(values, 1.0, part).unwrap_or_default())
            }));
        }
    }
}

/// The least of sorted values below or at which a share of them lies: no value that was not read.
fn quantile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

/// Memory that is kept from window to window.
#[derive(Default)]
pub struct Scratch {
    counts: Counts,
    pairs: Vec<(i64, u32)>,
    parts: Vec<u32>,
    ends: Vec<u32>,
    keys: Vec<i64>,
    sorted: Vec<f64>,
}

impl Scratch {
    /// The state of values, and these as `f64::total_cmp` sorts them: those that are different,
    /// where they are few.
    fn sort(&mut self, values: &[f64]) -> Option<(State, &[f64])> {
        let Some((different, counts)) = self.counts.of(values) else {
            let state = State::of(values)?;
            return Some((state, self.deal(values, (state.min, state.max))));
        };
        let state = State::of_counted(different, counts).or_else(|| State::of(values))?;
        let Self { pairs, sorted, .. } = self;
        pairs.clear();
        pairs.extend(
            different
                .iter()
                .map(|value| turned(value.to_bits() as i64))
                .zip(counts.iter().copied()),
        );
        pairs.sort_unstable_by_key(|&(key, _)| key);
        sorted.clear();
        for &(key, count) in &*pairs {
            sorted.extend(repeat_n(f64::from_bits(turned(key) as u64), count as usize));
        }
        Some((state, sorted))
    }

    /// Sorts numbers by integers that have their order.
    ///
    /// They are dealt out to parts of their range first: most values of a sensor are spread over it,
    /// so that few of them have to be compared.
    fn deal(&mut self, values: &[f64], (least, most): (f64, f64)) -> &[f64] {
        const OF_PART: usize = 2;
        const MANY: usize = 16;
        let Self { parts, ends, keys, sorted, .. } = self;
        let last = (values.len() / OF_PART) as u32;
        // Where the range is nothing, or more than a double can say, all are in one part.
        let scale = f64::from(last + 1) / (most - least);
        parts.clear();
        parts.extend(values.iter().map(|&value| (((value - least) * scale) as u32).min(last)));
        ends.clear();
        ends.resize(last as usize + 1, 0);
        parts.iter().for_each(|&part| ends[part as usize] += 1);
        let mut total = 0;
        for end in ends.iter_mut() {
            // Where the part begins; it becomes its end while the numbers are dealt out.
            let count = std::mem::replace(end, total);
            total += count;
        }
        keys.resize(values.len(), 0);
        for (&value, &part) in values.iter().zip(parts.iter()) {
            let end = &mut ends[part as usize];
            keys[*end as usize] = turned(value.to_bits() as i64);
            *end += 1;
        }
        let mut begin = 0;
        for &end in ends.iter() {
            let part = begin..end as usize;
            begin = part.end;
            if part.len() > MANY {
                keys[part].sort_unstable();
            }
        }
        insert_all(keys);
        sorted.clear();
        sorted.extend(keys.iter().map(|&key| f64::from_bits(turned(key) as u64)));
        sorted
    }
}

/// An integer that is ordered as its number is: of negative ones all bits but the sign are turned,
/// which is undone by the same.
const fn turned(bits: i64) -> i64 {
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// Sorts numbers that are nearly in their places.
fn insert_all(keys: &mut [i64]) {
    for at in 1..keys.len() {
        let key = keys[at];
        let mut place = at;
        while place > 0 && keys[place - 1] > key {
            keys[place] = keys[place - 1];
            place -= 1;
        }
        keys[place] = key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sorted_with_their_signs() {
        let mut scratch = Scratch::default();
        let values = [1.5, -0.0, 1e300, -1e300, 0.0, 5e-324, -1.5];
        let dealt = scratch.deal(&values, (-1e300, 1e300));
        assert_eq!(dealt, [-1e300, -1.5, -0.0, 0.0, 5e-324, 1.5, 1e300]);
        assert!(dealt[2].is_sign_negative());
        assert_eq!(scratch.deal(&[2.0; 9], (2.0, 2.0)), [2.0; 9]);
        assert_eq!(scratch.deal(&[f64::MAX, -1.0, f64::MIN], (f64::MIN, f64::MAX))[1], -1.0);
    }

    #[test]
    fn values_are_sorted_whether_few_are_different_or_many() {
        let mut scratch = Scratch::default();
        for different in [1, 5, 200, 1_009] {
            let values: Vec<f64> =
                (0..1_000_u64).map(|n| (n * 7_919 % different) as f64 / 8.0 - 9.0).collect();
            let mut expected = values.clone();
            expected.sort_by(f64::total_cmp);
            let state = State::of(&values).unwrap();
            assert_eq!(scratch.sort(&values), Some((state, expected.as_slice())));
        }
        assert_eq!(scratch.sort(&[]), None);
    }

    #[test]
    fn a_quantile_is_a_value_that_was_read() {
        let sorted: Vec<f64> = (1..=20).map(f64::from).collect();
        let of = |percent| quantile(&sorted, percent);
        assert_eq!([1, 5, 50, 51, 95, 96, 99].map(of), [1.0, 1.0, 10.0, 11.0, 19.0, 20.0, 20.0]);
        assert_eq!(quantile(&[7.0], 1), 7.0);
    }
}
