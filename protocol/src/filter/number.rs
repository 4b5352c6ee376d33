//! Numbers as a comparison takes them: integers exactly, everything else as `f64`.

use core::cmp::Ordering;

/// A finite number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// What 64 bits hold, such as a timestamp in milliseconds.
    Integer(i64),
    /// A fraction, an exponent, or an integer that is too large.
    Float(f64),
}

impl Number {
    /// Reads decimal digits with a sign, a fraction and an exponent, and nothing around them.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.parse() {
            Ok(integer) => Some(Self::Integer(integer)),
            // Rust also reads `nan` and `inf`, which are words to everybody else.
            Err(_) => text.parse().ok().filter(|float: &f64| float.is_finite()).map(Self::Float),
        }
    }

    fn to_f64(self) -> f64 {
        match self {
            // Beside a float, which is no more exact.
            Self::Integer(integer) => integer as f64,
            Self::Float(float) => float,
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(own), Self::Integer(other)) => Some(own.cmp(other)),
            (Self::Integer(_) | Self::Float(_), Self::Integer(_) | Self::Float(_)) => {
                self.to_f64().partial_cmp(&other.to_f64())
            }
        }
    }
}
