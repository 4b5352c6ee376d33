//! Which JSON every reader can be expected to parse: less than what the grammar of JSON has.
//!
//! Values that belong to the user are kept as the text that was sent. A text that some readers refuse would spoil the
//! whole document for them, so it is refused where it comes in.

use super::members::has_duplicate_members;
use crate::limits;

/// What keeps some readers from parsing a text that is JSON, as the end of a sentence about it.
///
/// - Parsers give up on values that nest deeply.
/// - Half of a surrogate pair (`"\ud800"`) is no character, so that no string of UTF-8 can hold it (RFC 8259,
///   section 8.2).
/// - Of two members of one name each reader takes another one, or none (RFC 8259, section 4).
/// - A number that no `f64` holds is an infinity to some and an error to others (RFC 8259, section 6).
pub(super) fn fault(json: &str) -> Option<&'static str> {
    const { assert!(limits::JSON_DEPTH_MAX == 100, "the sentence says so") };
    let mut depth = 0_usize;
    let mut rest = json.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > limits::JSON_DEPTH_MAX {
                    return Some("nests deeper than 100 levels");
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => match behind_string(tail) {
                Some(behind) => rest = behind,
                None => return Some("holds an escape (\\ud800 to \\udfff) that is half of a character"),
            },
            b'-' | b'0'..=b'9' => {
                let in_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let more = tail.iter().position(|byte| !in_number(byte)).unwrap_or(tail.len());
                let start = json.len() - tail.len() - 1;
                if !is_finite(&json[start..=start + more]) {
                    return Some(
                        "holds a number that is larger than a floating-point number of 64 bits can be",
                    );
                }
                rest = &tail[more..];
            }
            _ => {}
        }
    }
    has_duplicate_members(json).then_some("holds an object that has two members of one name")
}

/// The largest `f64` has 309 digits: a shorter number without exponent is finite.
fn is_finite(number: &str) -> bool {
    (number.len() < 309 && !number.contains(['e', 'E'])) || number.parse().is_ok_and(f64::is_finite)
}

/// The text behind the string whose first character is the first of `rest`; nothing where it holds half of a pair.
fn behind_string(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        rest = match skip_plain(rest) {
            [b'"', behind @ ..] => return Some(behind),
            [b'\\', b'u', tail @ ..] => match surrogate(tail) {
                None => tail,
                Some(Half::High) => match tail.get(4..)? {
                    [b'\\', b'u', low @ ..] if surrogate(low) == Some(Half::Low) => low,
                    _ => return None,
                },
                Some(Half::Low) => return None,
            },
            [b'\\', _, tail @ ..] | [_, tail @ ..] => tail,
            [] => return Some(&[]),
        }
    }
}

/// Skips what is neither the end of a string nor an escape, many bytes at a time.
fn skip_plain(mut rest: &[u8]) -> &[u8] {
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\');
    // Without an early end, so that the compiler compares the bytes of a piece at once.
    while let Some((piece, tail)) = rest.split_first_chunk::<16>()
        && !piece.iter().fold(false, |found, byte| found | is_special(byte))
    {
        rest = tail;
    }
    let at = rest.iter().position(is_special).unwrap_or(rest.len());
    &rest[at..]
}

/// A half of a surrogate pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    High,
    Low,
}

/// Which half the four digits of an escape are: `d800` to `dbff` come first, `dc00` to `dfff` behind them.
fn surrogate(digits: &[u8]) -> Option<Half> {
    match digits {
        [b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..] => Some(Half::High),
        [b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', ..] => Some(Half::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, string::ToString};

    #[test]
    fn depth_counts_what_is_open_and_not_what_is_written_in_strings() {
        let around = |inner: &str, depth: usize| format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth));
        let shallow = [around("", 100), around("5", 100), around(r#""[[{\"[\\""#, 100), "[{}]".repeat(200)];
        for json in shallow {
            assert_eq!(fault(&json), None, "{json}");
        }
        for json in [around("", 101), around("{}", 100), around(r#""\\",[]"#, 100)] {
            assert_eq!(fault(&json), Some("nests deeper than 100 levels"), "{json}");
        }
    }

    #[test]
    fn a_string_ends_and_is_escaped_at_any_length() {
        for length in 0..50 {
            let plain = "x".repeat(length);
            assert_eq!(fault(&format!(r#"["{plain}",[],"{plain}\"",{{}}]"#)), None, "{length}");
            let half = fault(&format!(r#"["{plain}","{plain}\ud800{plain}"]"#));
            assert!(half.is_some_and(|fault| fault.contains("half of a character")), "{length}");
            let deep = fault(&format!(r#"["{plain}"{},1{}]"#, ",[".repeat(100), "]".repeat(100)));
            assert!(deep.is_some_and(|fault| fault.contains("100 levels")), "{length}");
        }
    }

    #[test]
    fn an_escape_is_a_character_or_a_whole_pair() {
        for json in [
            r#""\u00e9""#,
            r#""\ud83d\ude00""#,
            r#""\uD83D\uDE00x""#,
            r#""\\ud800""#,
            r#""ud800""#,
            r#""\ud7ff\ue000""#,
        ] {
            assert_eq!(fault(json), None, "{json}");
        }
        for json in [
            r#""\ud800""#,
            r#""\udfff""#,
            r#"["x\uDBFFx"]"#,
            r#""\ud83d\n""#,
            r#""\ud83d\ud83d\ude00""#,
            r#""\ude00\ud83d""#,
            r#"{"\ud800":1}"#,
            r#""\\\ud800""#,
        ] {
            assert!(fault(json).is_some_and(|fault| fault.contains("half of a character")), "{json}");
        }
    }

    #[test]
    fn a_name_comes_once_in_an_object() {
        assert_eq!(fault(r#"{"a":1,"b":{"a":2}}"#), None);
        for json in [r#"{"a":1,"a":2}"#, r#"[{"b":{"a":1,"\u0061":1}}]"#] {
            assert!(fault(json).is_some_and(|fault| fault.contains("two members")), "{json}");
        }
    }

    #[test]
    fn a_number_is_what_a_float_can_come_near_to() {
        let largest = format!("{:.0}", f64::MAX);
        let small = ["0", "-1", "1.5e-400", "1e308", "-1.7976931348623157E+308", "[1,2e2,3]", &largest];
        for json in small {
            assert_eq!(fault(json), None, "{json}");
        }
        let larger = largest.replacen('1', "2", 1);
        for json in ["1e309", "-1e999", r#"{"a":[0,1E400]}"#, &larger, &"9".repeat(310)] {
            assert!(fault(json).is_some_and(|fault| fault.contains("larger")), "{json}");
        }
        assert_eq!(fault(&"1e999".to_string().replace('1', "\"1").replace("999", "999\"")), None);
    }
}
