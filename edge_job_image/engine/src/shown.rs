//! Values as messages repeat them: as Python's `repr` writes them.

const SHOWN: usize = 80;

/// A text as messages repeat it: quoted and not too long.
///
/// Which characters are printable is Python's to say: `repr` is asked for all but ASCII.
pub fn text(value: &[u8], repr: &dyn Fn(&str) -> String) -> String {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'\'' | b'\\');
    if value.len() <= SHOWN
        && value.iter().all(is_plain)
        && let Ok(value) = std::str::from_utf8(value)
    {
        return ["'", value, "'"].concat();
    }
    let value = String::from_utf8_lossy(value);
    let cut = match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.into_owned(),
    };
    // The ellipsis is printable in every version of Unicode.
    if cut.strip_suffix('…').unwrap_or(&cut).is_ascii() { ascii(&cut) } else { repr(&cut) }
}

/// `repr` of a text of which all characters beyond ASCII are printable.
pub fn ascii(value: &str) -> String {
    let quote = if value.contains('\'') && !value.contains('"') { '"' } else { '\'' };
    let mut shown = String::with_capacity(value.len() + 2);
    shown.push(quote);
    for character in value.chars() {
        match character {
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            '\0'..='\x1f' | '\x7f' => shown.push_str(&format!("\\x{:02x}", character as u32)),
            other => {
                if other == quote {
                    shown.push('\\');
                }
                shown.push(other);
            }
        }
    }
    shown.push(quote);
    shown
}

/// `repr` of a finite double: the fewest digits that give it back, an exponent below 1e-4 and
/// from 1e16 on.
pub fn double(value: f64) -> String {
    if value == 0.0 || (1e-4..1e16).contains(&value.abs()) {
        let plain = value.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("an exponent is asked for");
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_written_as_python_does() {
        let repr = |_: &str| "asked".to_owned();
        let shown = |value: &str| text(value.as_bytes(), &repr);
        assert_eq!(shown("it's"), "\"it's\"");
        assert_eq!(shown("it's \"so\""), "'it\\'s \"so\"'");
        assert_eq!(shown("a\\b\t\x07\x7f"), "'a\\\\b\\t\\x07\\x7f'");
        assert_eq!(shown("\u{e9}"), "asked");
        assert_eq!(shown(&"x".repeat(81)), format!("'{}…'", "x".repeat(80)));
        assert_eq!(shown(&"x".repeat(80)), format!("'{}'", "x".repeat(80)));
    }

    #[test]
    fn doubles_are_written_as_python_does() {
        for (value, written) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (1_000.25, "1000.25"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (0.000_099_999_999_999_999_99, "9.999999999999999e-05"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1.5e300, "1.5e+300"),
            (-2.5e-7, "-2.5e-07"),
        ] {
            assert_eq!(double(value), written);
        }
    }
}
