//! Filters: which resources of a list a client asks for, `?filter=<expression>`, as a typed value.
//!
//! [`Filter::parse`] reads the expression, [`Filter::holds`] combines what the caller says about each [`Term`], and
//! [`Term::admits`] compares a term with the values of a field. Which fields a resource has, and which operators they
//! take, is the caller's to say.
//!
//! # The language
//!
//! | written | admits |
//! |---|---|
//! | `name=Lamp` | what is exactly this text, or a number of this value: `v=5` admits `5.0` |
//! | `tags=red,blue` | what is any of these |
//! | `tags!=red,blue` | what is none of these; an absent field is none of them |
//! | `name~lamp` | what contains this text, in capitals or not; any of them, with commas |
//! | `createdAt>5`, `>=`, `<`, `<=` | numbers, compared by value with all of their digits |
//! | `a=1&b=2`, `a=1\|b=2`, `(a=1\|b=2)&c=3` | both; either; `&` binds tighter than `\|`, parentheses group |
//!
//! A backslash takes the meaning from any of `& | ! > < = ~ ( ) , \`; before anything else it is a backslash.
//! White space is part of the field or value that it is in. `name=` asks for the empty text.
//!
//! Clients build `identifiers.<key>=<value>` without escaping the value, so a value may hold much as it is:
//! - an operator, or a `!`: only the first operator of a term is one;
//! - a `&` before something that has no operator, up to the next `&`, `|` or end of a group: `a=1 2&3` is `1 2&3`;
//! - a `(`, and the `)` that matches it in the same term: `a=(01)5(21)7`. Any other `)` ends a group.
//!
//! A `|` always begins another term and a `,` always another value, parentheses around it or not.

use alloc::{borrow::Cow, string::String, vec, vec::Vec};
use core::{
    cell::OnceCell,
    cmp::Ordering,
    fmt::{self, Write as _},
};

mod fold;
mod number;
mod parse;

use fold::folded;
pub(crate) use number::Number;

/// Bytes of an expression, percent-decoded. The longest identifier of ASCII fits with its key and a dozen terms more.
/// The link to the next page carries it encoded twice: a larger one may outgrow the 8 KiB that proxies take as a URL.
pub const BYTES_MAX: usize = 2_048;

/// Terms of one filter. Each is asked about every resource that is looked at, so this bounds the work for a resource.
pub const TERMS_MAX: usize = 32;

/// Values of all terms of one filter together: as many as a list takes `ids`. It bounds the work as [`TERMS_MAX`] does.
pub const VALUES_MAX: usize = 100;

/// Parentheses inside one another. The parser and every function over a [`Filter`] recurse this often: a larger
/// number needs more stack.
pub const DEPTH_MAX: usize = 8;

/// What means something by itself, and nothing behind a backslash.
const SPECIAL: &[u8; 11] = b"&|!><=~(),\\";

/// Why a text is no filter.
///
/// `column` is a position in the text as it was parsed: in bytes, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Nothing at all.
    #[error("the filter is empty")]
    Empty,
    /// Longer than [`BYTES_MAX`].
    #[error("the filter is longer than {} bytes", BYTES_MAX)]
    TooLong,
    /// More than [`TERMS_MAX`] terms; the first too many begins there.
    #[error("the filter has more than {} terms, from column {column}", TERMS_MAX)]
    TooManyTerms {
        /// Where it begins.
        column: usize,
    },
    /// More than [`VALUES_MAX`] values; the first too many begins there.
    #[error("the filter has more than {} values, from column {column}", VALUES_MAX)]
    TooManyValues {
        /// Where it begins.
        column: usize,
    },
    /// More than [`DEPTH_MAX`] parentheses inside one another, at the first too many.
    #[error("the filter has more than {} parentheses inside one another, at column {column}", DEPTH_MAX)]
    TooDeep {
        /// Its column.
        column: usize,
    },
    /// A term without an operator that does not continue the value of a term before it.
    #[error("the term at column {column} of the filter has no operator (=, !=, >, >=, <, <= or ~)")]
    Operator {
        /// Where the term begins.
        column: usize,
    },
    /// A term that begins with its operator.
    #[error("there is no field before the operator at column {column} of the filter")]
    Field {
        /// The operator's column.
        column: usize,
    },
    /// A `(` that begins a group which does not end.
    #[error("the ( at column {column} of the filter is never closed")]
    Unclosed {
        /// Its column.
        column: usize,
    },
    /// A `)` that ends neither a group nor a parenthesis in a value.
    #[error("the ) at column {column} of the filter closes nothing: as part of a value it is written \\)")]
    Unopened {
        /// Its column.
        column: usize,
    },
    /// A group that is followed by something else than `&`, `|`, `)` or the end.
    #[error("there is neither & nor | after the group that ends before column {column} of the filter")]
    AfterGroup {
        /// Where the something begins.
        column: usize,
    },
}

/// How a term compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// `=`: is any of the values.
    Equal,
    /// `!=`: is none of the values.
    NotEqual,
    /// `>`: is a number greater than any of the values.
    Greater,
    /// `>=`: is a number greater than any of the values, or the same.
    GreaterOrEqual,
    /// `<`: is a number less than any of the values.
    Less,
    /// `<=`: is a number less than any of the values, or the same.
    LessOrEqual,
    /// `~`: contains any of the values, in capitals or not.
    Contains,
}

/// One question about one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The field, with its dots, such as `name` or `identifiers.gs1:01`. It is not empty.
    pub field: String,
    /// How it compares.
    pub op: Op,
    /// What with: at least one value, which may be the empty text.
    pub values: Vec<String>,
}

/// Terms, joined.
///
/// In normal form, the only one that [`Filter::parse`] makes, `All` and `Any` have two parts at least and hold none of
/// their own kind directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// What the term admits.
    Term(Term),
    /// What every part admits.
    All(Vec<Filter>),
    /// What one part admits at least.
    Any(Vec<Filter>),
}

impl Filter {
    /// Reads an expression, percent-decoded once already.
    ///
    /// # Errors
    /// [`FilterError`]; none of them repeats the text, whose values may be personal.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parse::parse(text)
    }

    /// The terms, in the order in which they were written.
    pub fn terms(&self) -> impl Iterator<Item = &Term> {
        let mut waiting = vec![self];
        core::iter::from_fn(move || {
            loop {
                match waiting.pop()? {
                    Self::Term(term) => return Some(term),
                    Self::All(parts) | Self::Any(parts) => waiting.extend(parts.iter().rev()),
                }
            }
        })
    }

    /// Whether the filter admits the resource about whose terms `leaf` answers.
    ///
    /// `leaf` is asked from left to right, and no longer than it takes to know.
    pub fn holds(&self, leaf: &mut dyn FnMut(&Term) -> bool) -> bool {
        match self {
            Self::Term(term) => leaf(term),
            Self::All(parts) => parts.iter().all(|part| part.holds(leaf)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(leaf)),
        }
    }

    /// The same filter with each field and value percent-decoded once more, or nothing where that changes none of them.
    ///
    /// Some clients encode both twice; what is not found as it was sent may be meant so. A value that does not
    /// decode to UTF-8 stays. What comes out of an escape is text: a comma from `%2C` does not part two values.
    #[must_use]
    pub fn decoded_again(&self) -> Option<Self> {
        let mut again = self.clone();
        again.decode_texts().then_some(again)
    }

    /// Says whether a text changed.
    fn decode_texts(&mut self) -> bool {
        let mut changed = false;
        match self {
            Self::Term(term) => {
                for text in core::iter::once(&mut term.field).chain(&mut term.values) {
                    if let Some(decoded) = percent_decoded(text) {
                        *text = decoded;
                        changed = true;
                    }
                }
            }
            Self::All(parts) | Self::Any(parts) => {
                for part in parts {
                    changed |= part.decode_texts();
                }
            }
        }
        changed
    }
}

/// A value of a field, as a term compares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue<'t> {
    /// A string or a boolean. Equal is what has the same letters: `"007"` is not `7`.
    Text(Cow<'t, str>),
    /// A number as it was written. Equal is what has the same value: `5.0` is `5`.
    Number(Cow<'t, str>),
}

impl FieldValue<'_> {
    /// The text, or the number as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::Number(text) => text,
        }
    }

    fn is(&self, operand: &str) -> bool {
        match self {
            Self::Text(text) => text == operand,
            Self::Number(text) => {
                text == operand
                    || Number::parse(text)
                        .zip(Number::parse(operand))
                        .is_some_and(|(own, operand)| own == operand)
            }
        }
    }
}

/// The values of one field of one resource, prepared once for all terms that ask about it.
#[derive(Debug, Default)]
pub struct FieldValues {
    values: Vec<FieldValue<'static>>,
    /// Their texts without case, once a term asks for them.
    folded: OnceCell<Vec<String>>,
}

impl FieldValues {
    fn folded(&self) -> &[String] {
        self.folded.get_or_init(|| self.values.iter().map(|value| folded(value.as_str())).collect())
    }
}

impl From<Vec<FieldValue<'static>>> for FieldValues {
    fn from(values: Vec<FieldValue<'static>>) -> Self {
        Self { values, folded: OnceCell::new() }
    }
}

impl Term {
    /// The same as [`admits`](Self::admits), for a field that several terms may ask about.
    #[must_use]
    pub fn admits_field(&self, field: &FieldValues) -> bool {
        match self.op {
            Op::Contains => {
                let mut operand = self.values.iter().map(|value| folded(value));
                operand.any(|part| field.folded().iter().any(|text| text.contains(part.as_str())))
            }
            Op::Equal | Op::NotEqual | Op::Greater | Op::GreaterOrEqual | Op::Less | Op::LessOrEqual => {
                self.admits(field.values.iter())
            }
        }
    }

    /// Whether the field that holds these values satisfies the term. An absent field holds none, a list several.
    ///
    /// All operators but one ask for one value of the field and one of the term that fit; [`Op::NotEqual`] asks that none
    /// is equal to one of the term. `>`, `>=`, `<` and `<=` compare numbers, also those in texts, exactly; what is no
    /// number, on either side, is passed over.
    #[must_use]
    pub fn admits<'v>(&self, values: impl Iterator<Item = &'v FieldValue<'v>>) -> bool {
        let mut values = values;
        match self.op {
            Op::Equal => values.any(|value| self.has_value(value)),
            Op::NotEqual => !values.any(|value| self.has_value(value)),
            Op::Greater => self.compares(values, Ordering::is_gt),
            Op::GreaterOrEqual => self.compares(values, Ordering::is_ge),
            Op::Less => self.compares(values, Ordering::is_lt),
            Op::LessOrEqual => self.compares(values, Ordering::is_le),
            Op::Contains => {
                let operand: Vec<String> = self.values.iter().map(|value| folded(value)).collect();
                values.any(|value| {
                    let text = folded(value.as_str());
                    operand.iter().any(|part| text.contains(part.as_str()))
                })
            }
        }
    }

    /// Whether the term compares numbers.
    #[must_use]
    pub fn is_numeric(&self) -> bool {
        match self.op {
            Op::Greater | Op::GreaterOrEqual | Op::Less | Op::LessOrEqual => true,
            Op::Equal | Op::NotEqual | Op::Contains => false,
        }
    }

    fn has_value(&self, value: &FieldValue<'_>) -> bool {
        self.values.iter().any(|operand| value.is(operand))
    }

    fn compares<'v>(
        &self,
        values: impl Iterator<Item = &'v FieldValue<'v>>,
        fits: fn(Ordering) -> bool,
    ) -> bool {
        let bounds: Vec<Number<'_>> = self.values.iter().filter_map(|value| Number::parse(value)).collect();
        let mut numbers = values.filter_map(|value| Number::parse(value.as_str()));
        numbers.any(|number| bounds.iter().any(|bound| fits(number.cmp(bound))))
    }
}

/// The integer of 64 bits that a text is by its value: `1.7e12` and `1700000000000.0` are the same one.
#[must_use]
pub fn integer(text: &str) -> Option<i64> {
    Number::parse(text)?.to_i64()
}

/// Nothing where the text has no escape, or one that is cut or makes no UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let (plain, mut rest) = text.split_once('%')?;
    let mut bytes = Vec::with_capacity(text.len());
    bytes.extend_from_slice(plain.as_bytes());
    loop {
        let (digits, tail) = rest.split_at_checked(2)?;
        // `from_str_radix` would take a sign for a digit.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        let (plain, next) = tail.split_once('%').map_or((tail, None), |(plain, next)| (plain, Some(next)));
        bytes.extend_from_slice(plain.as_bytes());
        match next {
            Some(next) => rest = next,
            None => return String::from_utf8(bytes).ok(),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Contains => "~",
        })
    }
}

impl fmt::Display for Term {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(&self.field, out)?;
        write!(out, "{}", self.op)?;
        for (index, value) in self.values.iter().enumerate() {
            if index > 0 {
                out.write_str(",")?;
            }
            write_escaped(value, out)?;
        }
        Ok(())
    }
}

/// The canonical form: everything special is escaped, and there are no parentheses but those that are needed.
///
/// It parses to the same filter if that is in normal form, and if the escapes do not make it longer than [`BYTES_MAX`].
impl fmt::Display for Filter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Term(term) => write!(out, "{term}"),
            Self::All(parts) => write_joined(parts, "&", out, |part, out| match part {
                Self::Any(_) => write!(out, "({part})"),
                Self::Term(_) | Self::All(_) => write!(out, "{part}"),
            }),
            Self::Any(parts) => write_joined(parts, "|", out, |part, out| write!(out, "{part}")),
        }
    }
}

fn write_joined(
    parts: &[Filter],
    joint: &str,
    out: &mut fmt::Formatter<'_>,
    write: impl Fn(&Filter, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.write_str(joint)?;
        }
        write(part, out)?;
    }
    Ok(())
}

fn write_escaped(text: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    for letter in text.chars() {
        if u8::try_from(letter).is_ok_and(|byte| SPECIAL.contains(&byte)) {
            out.write_char('\\')?;
        }
        out.write_char(letter)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
