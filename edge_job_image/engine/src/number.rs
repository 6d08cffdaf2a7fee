//! Numbers as sensors write them.

use crate::scan::{HIGHS, byte, repeated};

/// The powers of ten that a double holds exactly and that 15 digits can need.
const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
const FAST_DIGITS: usize = 15;
/// The reciprocals of the powers of ten that seven bytes can need: 29 bits, and what is missing.
const RECIPROCALS: [(f64, f64); 7] = {
    let mut reciprocals = [(1.0, 0.0); 7];
    let mut at = 0;
    while at < reciprocals.len() {
        let high = f64::from_bits((1.0 / POWERS[at]).to_bits() >> 24 << 24);
        reciprocals[at] = (high, (1.0 - high * POWERS[at]) / POWERS[at]);
        at += 1;
    }
    reciprocals
};

/// The double that a cell is; `mark` is the decimal mark.
///
/// Up to 15 digits without an exponent are an integer and a power of ten that a double holds
/// exactly, so that their one division rounds once, correctly. All else is parsed as Rust does,
/// which is correct too, and slower. Digits, one mark, sign and exponent are all that there may
/// be; a number beyond the doubles is none.
#[inline]
pub fn double(cell: &[u8], mark: u8) -> Option<f64> {
    let (negative, digits) = match cell {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, cell),
    };
    if digits.is_empty() || digits.len() > FAST_DIGITS {
        return strict(cell, mark);
    }
    let mut integer = 0_u64;
    let mut seen_mark = false;
    let mut decimals = 0;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            integer = integer * 10 + u64::from(digit);
            decimals += usize::from(seen_mark);
        } else if byte == mark && !seen_mark {
            seen_mark = true;
        } else {
            return strict(cell, mark);
        }
    }
    if seen_mark && digits.len() == 1 {
        return None;
    }
    let value = integer as f64 / POWERS[decimals];
    Some(if negative { -value } else { value })
}

/// A double of few digits at a position of a block, and where the byte `until` stands behind it.
///
/// None when it is not simply digits with a mark or not, or has more than seven bytes; then `double`
/// is to be asked.
#[inline(always)]
pub fn short(block: &[u8], at: usize, mark: u8, until: u8) -> Option<(f64, usize)> {
    let (first, next): (&[u8; 8], _) = block.get(at..)?.split_first_chunk()?;
    let mut word = u64::from_le_bytes(*first);
    let mut end = at;
    let negative = first[0] == b'-';
    if negative {
        word = word >> 8 | u64::from(*next.first()?) << 56;
        end += 1;
    }
    let values = word ^ repeated(b'0');
    // The bytes that are no digits: their values are beyond 9.
    let others = (((values & !HIGHS) + repeated(0x7f - 9)) | values) & HIGHS;
    let whole = others.trailing_zeros() / 8;
    let (digits, count, length);
    if whole < 8 && byte(word, whole) == mark {
        length = (others & (others - 1)).trailing_zeros() / 8;
        let before = (1 << (8 * whole)) - 1;
        digits = values & before | values >> 8 & !before;
        count = length - 1;
    } else {
        (digits, count, length) = (values, whole, whole);
    }
    if length > 7 || count == 0 {
        return None;
    }
    end += length as usize;
    if byte(word, length) != until {
        if until != b'\n' || block[end..].first_chunk() != Some(b"\r\n") {
            return None;
        }
        end += 1;
    }
    let value = divided(eight(digits << (64 - 8 * count)), (count - whole) as usize);
    Some((if negative { -value } else { value }, end))
}

/// An integer of at most seven digits, divided by a power of ten of at most six zeros and rounded
/// correctly. Many processors divide slowly; to multiply is as good.
///
/// The integer has 24 bits, so that its product with the high part is exact. What comes to it is off
/// by at most 2^-80 of the quotient. A number half-way between two doubles is odd in its 54th bit and
/// thus no such quotient; their difference, a fraction whose denominator divides a power of two times
/// that of ten, is at least 2^-74 of it. So the sum rounds as the quotient does.
#[inline(always)]
fn divided(integer: u32, zeros: usize) -> f64 {
    let (high, low) = RECIPROCALS[zeros];
    let integer = f64::from(integer);
    integer * high + integer * low
}

/// The number that eight digits are, the first one lowest.
#[inline(always)]
const fn eight(digits: u64) -> u32 {
    // Neighbours are joined to two digits, then to four, then to eight.
    const EVEN: u64 = 0x0000_00ff_0000_00ff;
    let pairs = digits * 10 + (digits >> 8);
    let joined = (pairs & EVEN).wrapping_mul(100 + (1_000_000 << 32));
    let others = (pairs >> 16 & EVEN).wrapping_mul(1 + (10_000 << 32));
    (joined.wrapping_add(others) >> 32) as u32
}

#[cold]
fn strict(cell: &[u8], mark: u8) -> Option<f64> {
    let mut text = String::with_capacity(cell.len());
    let mut rest = cell;
    if let [sign @ (b'+' | b'-'), after @ ..] = rest {
        text.push(char::from(*sign));
        rest = after;
    }
    let before = take_digits(&mut rest, &mut text);
    let mut after = 0;
    if let [first, behind @ ..] = rest
        && *first == mark
    {
        text.push('.');
        rest = behind;
        after = take_digits(&mut rest, &mut text);
    }
    if before + after == 0 {
        return None;
    }
    if let [b'e' | b'E', behind @ ..] = rest {
        text.push('e');
        rest = behind;
        if let [sign @ (b'+' | b'-'), after @ ..] = rest {
            text.push(char::from(*sign));
            rest = after;
        }
        if take_digits(&mut rest, &mut text) == 0 {
            return None;
        }
    }
    if !rest.is_empty() {
        return None;
    }
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

fn take_digits(rest: &mut &[u8], text: &mut String) -> usize {
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.extend(rest[..count].iter().map(|&byte| char::from(byte)));
    *rest = &rest[count..];
    count
}

/// A number of which `mark` groups the digits before its decimal mark by three, without these
/// marks; None when it is not grouped so.
pub fn ungrouped(cell: &[u8], mark: u8) -> Option<Vec<u8>> {
    let sign = usize::from(matches!(cell.first(), Some(b'+' | b'-')));
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let first = digits(&cell[sign..]);
    if !(1..=3).contains(&first) {
        return None;
    }
    let mut at = sign + first;
    let mut plain = cell[..at].to_vec();
    while cell.get(at) == Some(&mark) && digits(&cell[at + 1..]) == 3 {
        plain.extend_from_slice(&cell[at + 1..at + 4]);
        at += 4;
    }
    if at == sign + first || cell.get(at) == Some(&mark) {
        return None;
    }
    plain.extend_from_slice(&cell[at..]);
    Some(plain)
}

/// The integer that a cell is: a sign and up to 19 digits, within 64 bits.
#[inline]
pub fn long(cell: &[u8]) -> Option<i64> {
    let digits = match cell {
        [b'+' | b'-', rest @ ..] => rest,
        _ => cell,
    };
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut value = 0_i128;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i128::from(digit);
    }
    i64::try_from(if cell[0] == b'-' { -value } else { value }).ok()
}

/// The boolean that a cell is.
pub const fn boolean(cell: &[u8]) -> Option<bool> {
    match cell {
        [b'1'] => Some(true),
        [b'0'] => Some(false),
        _ if cell.eq_ignore_ascii_case(b"true") => Some(true),
        _ if cell.eq_ignore_ascii_case(b"false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_doubles_are_the_same_as_others() {
        let cells = [
            "0", "7", "-0", "12.53", "-2.5", "999.8", "0.0001", "12345.6", "1234567", "-999999",
            "5.", ".5", "-.25", "00012.0", "1.00000",
        ];
        for cell in cells {
            for (behind, end) in [(";next cell", 0), ("\nnext line", 0), ("\r\nnext line", 1)] {
                let block = format!("at;{cell}{behind}");
                let until = if end == 1 { b'\n' } else { behind.as_bytes()[0] };
                let found = short(block.as_bytes(), 3, b'.', until);
                let (value, at) = found.unwrap_or_else(|| panic!("{cell:?} {behind:?}"));
                let expected = double(cell.as_bytes(), b'.').unwrap();
                assert_eq!((value.to_bits(), at), (expected.to_bits(), 3 + cell.len() + end));
            }
        }
    }

    #[test]
    fn to_multiply_is_to_divide() {
        for (zeros, power) in POWERS.iter().take(RECIPROCALS.len()).enumerate() {
            for integer in (0..100_000).chain((100_000..10_000_000).step_by(7_919 + zeros)) {
                let quotient = f64::from(integer) / power;
                assert_eq!(divided(integer, zeros).to_bits(), quotient.to_bits());
            }
        }
    }

    #[test]
    fn what_is_not_a_short_double_is_left_to_others() {
        for cell in [
            "", "-", ".", "-.", "1.2.3", "12345678", "123.4567", "1e5", " 1", "1 ", "+1", "1,5",
            "--1", "\u{e9}", "1\r", "12:5", "1/2",
        ] {
            let block = format!("{cell};12345678;");
            assert_eq!(short(block.as_bytes(), 0, b'.', b';'), None, "{cell:?}");
        }
        assert_eq!(short(b"1;2\n", 0, b'.', b';'), None);
        assert_eq!(short(b"1;", 2, b'.', b';'), None);
    }

    #[test]
    fn doubles_are_those_that_rust_parses() {
        for text in [
            "0",
            "-0",
            "1",
            "-1",
            "12.53",
            "0.1",
            "-2.077",
            "57.138",
            "999999999999999",
            "0.00000000000001",
            "123456789012345678",
            "1e5",
            "1E-5",
            "+4.25",
            "5.",
            ".5",
            "-.5",
            "1.7976931348623157e308",
            "4.9e-324",
            "1e-400",
            "9007199254740993",
        ] {
            let expected: f64 = text.parse().unwrap();
            assert_eq!(double(text.as_bytes(), b'.').map(f64::to_bits), Some(expected.to_bits()));
            let comma = text.replace('.', ",");
            assert_eq!(double(comma.as_bytes(), b',').map(f64::to_bits), Some(expected.to_bits()));
        }
    }

    #[test]
    fn what_is_not_written_as_a_number_is_none() {
        for text in [
            "", ".", "-", "+", "-.", "1..2", "1.2.3", "1e", "1e+", "e5", "nan", "inf", "1_000",
            "0x10", " 1", "1 ", "--1", "1,5", "1e400", "\u{661}",
        ] {
            assert_eq!(double(text.as_bytes(), b'.'), None, "{text}");
        }
        assert_eq!(double(b"1.5", b','), None);
    }

    #[test]
    fn longs_and_booleans_are_strict() {
        assert_eq!(long(b"+9223372036854775807"), Some(i64::MAX));
        assert_eq!(long(b"-9223372036854775808"), Some(i64::MIN));
        for text in ["9223372036854775808", "00000000000000000001", "", "-", "1.0", "1e3"] {
            assert_eq!(long(text.as_bytes()), None, "{text}");
        }
        assert_eq!(boolean(b"TRUE"), Some(true));
        assert_eq!(boolean(b"0"), Some(false));
        assert_eq!(boolean(b"yes"), None);
    }
}
