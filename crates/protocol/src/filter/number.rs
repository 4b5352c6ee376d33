//! Decimal numbers by value at any precision: sign, exponent and digits, compared without being expanded.

use core::cmp::Ordering;

/// The largest exponent of a number, up or down. A text that claims more is no number: `1e999999999999999999999` is
/// no measurement, and no integer holds its exponent.
const EXPONENT_MAX: i64 = 999_999_999_999_999;

/// A finite number, `±0.DIGITS × 10^exponent`, which borrows its digits from the text that it was read from.
///
/// Two spellings of a value are equal: `5`, `5.0`, `0.05e2`. The digits begin and end with one that is not zero; zero
/// has none, and no sign.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number<'t> {
    is_negative: bool,
    exponent: i64,
    /// The digits in front of the point, and those behind it.
    digits: [&'t str; 2],
}

impl<'t> Number<'t> {
    /// Reads decimal digits with a sign, a fraction and an exponent, and nothing around them.
    pub(crate) fn parse(text: &'t str) -> Option<Self> {
        let (is_negative, text) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.len() + fraction.len() == 0 || !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let (whole, fraction, place) = match (whole, fraction) {
            ("", fraction) => {
                let digits = fraction.trim_start_matches('0');
                ("", digits, -length(fraction) + length(digits))
            }
            (whole, "") => (whole.trim_end_matches('0'), "", length(whole)),
            (whole, fraction) => (whole, fraction, length(whole)),
        };
        let said = exponent.map_or(Some(Exponent::Within(0)), exponent_of)?;
        if whole.is_empty() && fraction.is_empty() {
            return Some(Self { is_negative: false, exponent: 0, digits: ["", ""] });
        }
        let Exponent::Within(said) = said else { return None };
        Some(Self { is_negative, exponent: said + place, digits: [whole, fraction] })
    }

    /// The number as an integer, where it is one of 64 bits.
    pub(crate) fn to_i64(self) -> Option<i64> {
        // The largest has 19 digits, so that nothing larger is written out.
        let length = self.digits().count();
        let places = usize::try_from(self.exponent).ok().filter(|places| (length..=19).contains(places))?;
        let zeros = core::iter::repeat_n(b'0', places - length);
        let magnitude =
            self.digits().chain(zeros).fold(0_i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        i64::try_from(if self.is_negative { -magnitude } else { magnitude }).ok()
    }

    fn is_zero(&self) -> bool {
        self.digits == ["", ""]
    }

    fn digits(&self) -> impl Iterator<Item = u8> + use<'t> {
        let [whole, fraction] = self.digits;
        whole.bytes().chain(fraction.bytes())
    }
}

fn length(digits: &str) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX / 4)
}

fn are_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

enum Exponent {
    Within(i64),
    Beyond,
}

/// Nothing where it is no exponent at all.
fn exponent_of(text: &str) -> Option<Exponent> {
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || !are_digits(digits) {
        return None;
    }
    // Leading zeros are no part of the value, and may be any number.
    let digits = digits.trim_start_matches('0');
    let magnitude = if digits.is_empty() { Ok(0) } else { digits.parse::<i64>() };
    Some(match magnitude {
        Ok(magnitude) if magnitude <= EXPONENT_MAX => {
            Exponent::Within(if is_negative { -magnitude } else { magnitude })
        }
        _ => Exponent::Beyond,
    })
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.is_zero(), number.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let magnitudes =
            || self.exponent.cmp(&other.exponent).then_with(|| self.digits().cmp(other.digits()));
        match (sign(self), sign(other)) {
            (-1, -1) => magnitudes().reverse(),
            (1, 1) => magnitudes(),
            (own, other) => own.cmp(&other),
        }
    }
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number<'_> {}

#[cfg(test)]
mod tests {
    use std::{format, string::String};

    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number<'_> {
        Number::parse(text).unwrap_or_else(|| panic!("{text} is a number"))
    }

    #[test]
    fn spellings_of_one_value_are_equal() {
        for spellings in [
            &["5", "5.0", "+5", "0.05e2", "50e-1", "005", "5.", "5e0", "5E+00", "0.5e1"][..],
            &["500", "5E2", "500.000"],
            &["0", "-0", "-0.0", "0e5", "0e999999999999999999999", ".0", "-0.000e-9"],
            &["-1.5", "-15e-1", "-0.0015e3"],
            &["8944501234567890123", "8944501234567890123.0", "8.944501234567890123e18"],
            &["1e999999999", "10e999999998", "0.1e1000000000"],
        ] {
            for (one, other) in
                spellings.iter().flat_map(|one| spellings.iter().map(move |other| (one, other)))
            {
                assert_eq!(number(one), number(other), "{one} and {other}");
            }
        }
    }

    #[test]
    fn digits_beyond_a_float_decide() {
        for ordered in [
            &["89445012345678901233", "89445012345678901234", "89445012345678901234.000001", "9e19"][..],
            &[
                "-1e999999999",
                "-9007199254740993",
                "-9007199254740992",
                "-1",
                "-0.1",
                "0",
                "1e-999999999",
                "0.1",
                "1",
            ],
            &["9007199254740992", "9007199254740992.5", "9007199254740993", "1e400", "1e999999999"],
        ] {
            for (at, one) in ordered.iter().enumerate() {
                for (before, other) in ordered.iter().enumerate() {
                    assert_eq!(number(one).cmp(&number(other)), at.cmp(&before), "{one} and {other}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_decimal_number_is_none() {
        for text in [
            "",
            "-",
            "+",
            ".",
            "e5",
            "5e",
            "5e+",
            "nan",
            "inf",
            "infinity",
            "0x5",
            "5 ",
            " 5",
            "1_000",
            "--5",
            "5.5.5",
            "5e5e5",
            "٥",
            "1e1000000000000000",
            "1e-1000000000000000",
            "1e99999999999999999999",
        ] {
            assert!(Number::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn an_integer_is_one_by_value() {
        for (text, expected) in [
            ("1.7e12", Some(1_700_000_000_000)),
            ("1700000000000.0", Some(1_700_000_000_000)),
            ("-0.0", Some(0)),
            ("10e-1", Some(1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("1e19", None),
            ("1e999999999", None),
            ("1.5", None),
            ("1e-1", None),
        ] {
            assert_eq!(number(text).to_i64(), expected, "{text}");
        }
    }

    /// An integer of so many hundredths, written out: an oracle that knows neither exponents nor trimming.
    fn hundredths(value: i32) -> String {
        let (whole, rest) = (value.unsigned_abs() / 100, value.unsigned_abs() % 100);
        format!("{}{whole}.{rest:02}", if value < 0 { "-" } else { "" })
    }

    proptest! {
        #[test]
        fn order_is_that_of_integers_of_one_unit(one in any::<i32>(), other in any::<i32>()) {
            let (a, b) = (hundredths(one), hundredths(other));
            prop_assert_eq!(number(&a).cmp(&number(&b)), one.cmp(&other));
        }

        #[test]
        fn a_shift_of_the_point_and_the_exponent_changes_nothing(
            digits in "[0-9]{1,30}", at in 0_usize..30, shift in -40_i64..40, zeros in 0_usize..5
        ) {
            let at = at.min(digits.len());
            let padded = format!("{}{digits}", "0".repeat(zeros));
            let (whole, fraction) = padded.split_at(zeros + at);
            let shifted = format!("{whole}.{fraction}e{}", shift + digits.len() as i64 - at as i64);
            let plain = format!("{digits}e{shift}");
            if !(whole.is_empty() && fraction.is_empty()) {
                prop_assert_eq!(number(&shifted), number(&plain), "{} and {}", shifted, plain);
            }
        }

        #[test]
        fn long_integers_are_ordered_by_length_and_digits(one in "-?[1-9][0-9]{0,40}", other in "-?[1-9][0-9]{0,40}") {
            let key = |text: &str| {
                let digits: String = text.trim_start_matches('-').into();
                (digits.len(), digits)
            };
            let expected = match (one.starts_with('-'), other.starts_with('-')) {
                (false, false) => key(&one).cmp(&key(&other)),
                (true, true) => key(&other).cmp(&key(&one)),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
            };
            prop_assert_eq!(number(&one).cmp(&number(&other)), expected);
        }

        #[test]
        fn distinct_floats_are_ordered_as_floats(one in any::<f64>(), other in any::<f64>()) {
            prop_assume!(one.is_finite() && other.is_finite());
            // Seventeen digits name each float; the shortest spelling names it too.
            let (a, b) = (format!("{one:e}"), format!("{other}"));
            let expected = one.partial_cmp(&other).expect("both are finite");
            prop_assert_eq!(number(&a).cmp(&number(&b)), expected, "{} and {}", a, b);
        }

        #[test]
        fn any_text_that_floats_read_is_a_number(text in "[-+]?[0-9]{0,3}\\.?[0-9]{0,3}([eE][-+]?[0-9]{1,3})?") {
            prop_assert_eq!(Number::parse(&text).is_some(), text.parse::<f64>().is_ok(), "{}", text);
        }
    }
}
