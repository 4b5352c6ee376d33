//! Percent-encoding of one topic segment or option value (RFC 3986, section 2), as in a REST path.
//!
//! `+` stays `+`: only `%20` is a space.

use alloc::{borrow::Cow, string::String, vec::Vec};

use super::TopicError;

/// Decodes once.
///
/// # Errors
/// [`TopicError::Escape`] for a `%` without two hexadecimal digits, or where the outcome is not UTF-8 (so an overlong
/// form of `/` is refused, not let through).
pub(super) fn decode(text: &str) -> Result<Cow<'_, str>, TopicError> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let (&[high, low], tail) = tail.split_first_chunk().ok_or(TopicError::Escape)?;
            bytes.push(hex(high)? << 4 | hex(low)?);
            rest = tail;
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| TopicError::Escape)
}

/// Encodes all but what is unreserved (letters, digits, `-._~`) or one of `:@!$'()*,;=`, which a path may hold as they are.
pub(super) fn encode(text: &str, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut rest = text;
    // Most names need no escape, and are copied as one piece.
    while let Some(at) = rest.bytes().position(|byte| !IS_PLAIN[usize::from(byte)]) {
        let (plain, behind) = rest.split_at(at);
        out.push_str(plain);
        let escaped = behind.chars().next().map_or(0, char::len_utf8);
        for byte in behind.bytes().take(escaped) {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        rest = &behind[escaped..];
    }
    out.push_str(rest);
}

/// Bytes that a path may hold as they are.
const IS_PLAIN: [bool; 256] = {
    let mut is_plain = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        is_plain[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut marks: &[u8] = b"-._~:@!$'()*,;=";
    while let [mark, others @ ..] = marks {
        is_plain[*mark as usize] = true;
        marks = others;
    }
    is_plain
};

fn hex(digit: u8) -> Result<u8, TopicError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(TopicError::Escape),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_is_a_plus_and_twenty_is_a_space() {
        assert_eq!(decode("a+b%20c").as_deref(), Ok("a+b c"));
    }

    #[test]
    fn overlong_and_cut_escapes_are_refused() {
        for text in ["%", "%2", "%zz", "%c0%af", "%ff", "a%2"] {
            assert_eq!(decode(text), Err(TopicError::Escape), "{text}");
        }
    }

    #[test]
    fn reserved_characters_alone_are_escaped() {
        let encoded = |text: &str| {
            let mut out = String::new();
            encode(text, &mut out);
            out
        };
        let plain = "azAZ09-._~:@!$'()*,;=";
        assert_eq!(encoded(plain), plain);
        assert_eq!(encoded("a/b é%z\u{1f600}/"), "a%2Fb%20%C3%A9%25z%F0%9F%98%80%2F");
        assert_eq!(
            encoded("\u{0}\"#&+<>?[\\]^`{|}\u{7f}"),
            "%00%22%23%26%2B%3C%3E%3F%5B%5C%5D%5E%60%7B%7C%7D%7F"
        );
    }

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        for text in ["_x y", "a/b?c#d&e%f", "é日", "plain"] {
            let mut out = String::new();
            encode(text, &mut out);
            assert_eq!(decode(&out).as_deref(), Ok(text));
            assert!(!out.contains(['/', '?', '#', '&', ' ']), "{out}");
        }
    }
}
