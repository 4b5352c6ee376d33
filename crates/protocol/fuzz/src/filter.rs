//! Checks what the filter parser promises for every text, and what the filter admits.
//!
//! The input is an expression and texts that it is asked about, each behind a zero byte.

use std::iter::once;

use thng_pubsub_protocol::filter::{
    BYTES_MAX, DEPTH_MAX, FieldValue, Filter, FilterError, Op, TERMS_MAX, Term, VALUES_MAX,
};

use super::percent_decoded;

/// Texts, terms, and values of a term that are compared with each other: more would make each input slow and show no more.
const COMPARED_MAX: usize = 4;

/// Reads the first part of `bytes` as a filter, and asks it about the others.
///
/// # Panics
/// If the reader or the filter breaks one of its promises.
pub fn check(bytes: &[u8]) {
    let Ok(input) = std::str::from_utf8(bytes) else { return };
    let mut parts = input.split('\0');
    let text = parts.next().expect("a split has a first part");
    let texts: Vec<&str> = parts.take(COMPARED_MAX).collect();
    let parsed = Filter::parse(text);
    assert_eq!(parsed == Err(FilterError::TooLong), text.len() > BYTES_MAX);
    assert_eq!(parsed == Err(FilterError::Empty), text.is_empty());
    // Where a term may begin, a parenthesis opens a group.
    if text.len() <= BYTES_MAX && text.bytes().take_while(|byte| *byte == b'(').count() > DEPTH_MAX {
        assert_eq!(parsed, Err(FilterError::TooDeep { column: DEPTH_MAX + 1 }));
    }
    match parsed {
        Ok(filter) => {
            check_shape(&filter, 0);
            check_bounds(&filter);
            check_printed(&filter);
            check_decoded_again(&filter);
            check_holds(&filter, &texts);
        }
        Err(error) => check_error(text, error),
    }
}

/// What is refused says where, and repeats nothing.
fn check_error(text: &str, error: FilterError) {
    let column = match error {
        FilterError::Empty | FilterError::TooLong => return,
        FilterError::TooManyTerms { column }
        | FilterError::TooManyValues { column }
        | FilterError::TooDeep { column }
        | FilterError::Operator { column }
        | FilterError::Field { column }
        | FilterError::Unclosed { column }
        | FilterError::Unopened { column }
        | FilterError::AfterGroup { column } => column,
    };
    assert!((1..=text.len() + 1).contains(&column) && text.is_char_boundary(column - 1), "{text}: {error:?}");
    let there = text[column - 1..].chars().next();
    match error {
        FilterError::TooDeep { .. } | FilterError::Unclosed { .. } => assert_eq!(there, Some('('), "{text}"),
        FilterError::Unopened { .. } => assert_eq!(there, Some(')'), "{text}"),
        FilterError::Field { .. } => assert!(there.is_some_and(|there| "=!<>~".contains(there)), "{text}"),
        FilterError::AfterGroup { .. } => {
            assert!(there.is_some() && text[..column - 1].ends_with(')'), "{text}");
        }
        FilterError::Empty
        | FilterError::TooLong
        | FilterError::TooManyTerms { .. }
        | FilterError::TooManyValues { .. }
        | FilterError::Operator { .. } => {}
    }
    // The longest sentence of all, with the largest column.
    assert!(error.to_string().len() <= 100, "{error}");
}

/// Normal form, and no deeper than parentheses make it.
fn check_shape(filter: &Filter, depth: usize) {
    assert!(depth <= 2 * (DEPTH_MAX + 1), "deeper than parentheses can make it");
    match filter {
        Filter::Term(term) => assert!(!term.field.is_empty() && !term.values.is_empty(), "{term:?}"),
        Filter::All(parts) | Filter::Any(parts) => {
            assert!(parts.len() >= 2, "one part alone needs no roof");
            for part in parts {
                assert_ne!(
                    std::mem::discriminant(filter),
                    std::mem::discriminant(part),
                    "a roof under its like"
                );
                check_shape(part, depth + 1);
            }
        }
    }
}

fn check_bounds(filter: &Filter) {
    assert!(filter.terms().count() <= TERMS_MAX);
    assert!(filter.terms().map(|term| term.values.len()).sum::<usize>() <= VALUES_MAX);
}

fn check_printed(filter: &Filter) {
    let printed = filter.to_string();
    for spelling in [printed.clone(), format!("({printed})")] {
        if spelling.len() <= BYTES_MAX {
            assert_eq!(Filter::parse(&spelling).as_ref(), Ok(filter), "{spelling}");
        }
    }
}

fn check_decoded_again(filter: &Filter) {
    let texts = |filter: &Filter| -> Vec<String> {
        filter.terms().flat_map(|term| once(term.field.clone()).chain(term.values.clone())).collect()
    };
    let before = texts(filter);
    let expected: Vec<String> =
        before.iter().map(|text| percent_decoded(text).unwrap_or_else(|| text.clone())).collect();
    match filter.decoded_again() {
        Some(again) => {
            assert_eq!(texts(&again), expected);
            assert!(again.terms().map(|term| term.op).eq(filter.terms().map(|term| term.op)));
            assert_ne!(&again, filter);
            check_shape(&again, 0);
            check_printed(&again);
        }
        None => assert_eq!(before, expected, "an escape was left"),
    }
}

/// The filter holds as its terms do, and asks them from left to right.
fn check_holds(filter: &Filter, texts: &[&str]) {
    let admits = |term: &Term| term.admits(values(texts).iter());
    let mut terms = filter.terms();
    let holds = filter.holds(&mut |operand| {
        assert!(terms.any(|term| std::ptr::eq(term, operand)), "{operand} is asked again, or too late");
        admits(operand)
    });
    assert_eq!(holds, holds_in_full(filter, &admits), "{filter} about {texts:?}");
    for term in filter.terms().take(COMPARED_MAX) {
        check_term(term, texts);
    }
}

fn holds_in_full(filter: &Filter, admits: &dyn Fn(&Term) -> bool) -> bool {
    let all =
        |parts: &[Filter]| -> Vec<bool> { parts.iter().map(|part| holds_in_full(part, admits)).collect() };
    match filter {
        Filter::Term(term) => admits(term),
        Filter::All(parts) => !all(parts).contains(&false),
        Filter::Any(parts) => all(parts).contains(&true),
    }
}

fn check_term(term: &Term, texts: &[&str]) {
    let one_by_one = texts.iter().map(|text| term.admits(values(&[*text]).iter()));
    let expected = if term.op == Op::NotEqual {
        one_by_one.fold(true, |a, b| a & b)
    } else {
        one_by_one.fold(false, |a, b| a | b)
    };
    assert_eq!(term.admits(values(texts).iter()), expected, "{term} about {texts:?}");
    for text in texts {
        for value in term.values.iter().take(COMPARED_MAX) {
            check_pair(text, value);
        }
    }
}

fn values<'t>(texts: &[&'t str]) -> Vec<FieldValue<'t>> {
    texts.iter().map(|text| FieldValue::Text((*text).into())).collect()
}

/// What Rust reads as a float, but for words, and for exponents that no number has here.
fn is_number(text: &str) -> bool {
    let exponent = text.split_once(['e', 'E']).map_or("0", |(_, exponent)| exponent);
    let digits = exponent.trim_start_matches(['+', '-']).trim_start_matches('0');
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let is_zero = !mantissa.contains(|letter: char| ('1'..='9').contains(&letter));
    text.parse::<f64>().is_ok()
        && text.contains(|letter: char| letter.is_ascii_digit())
        && (is_zero || digits.len() <= 15)
}

/// The operators agree with each other about one text and one value.
fn check_pair(text: &str, value: &str) {
    let operand = |text: &str, op: Op, value: &str| {
        Term { field: "f".into(), op, values: vec![value.into()] }.admits(values(&[text]).iter())
    };
    let number_is = |op| {
        let number = FieldValue::Number(text.into());
        Term { field: "f".into(), op, values: vec![value.into()] }.admits(once(&number))
    };
    let is = |op| operand(text, op, value);
    assert_eq!(is(Op::Equal), text == value);
    assert_eq!(is(Op::NotEqual), text != value);
    assert!(is(Op::Contains) || !text.contains(value), "{text:?} contains {value:?}");
    assert!(operand(&format!("{text}{value}"), Op::Contains, value), "{value:?} at the end of {text:?}");
    let (less, at_most, at_least, greater) =
        (is(Op::Less), is(Op::LessOrEqual), is(Op::GreaterOrEqual), is(Op::Greater));
    let mirrored = |op| operand(value, op, text);
    assert_eq!((less, at_most), (mirrored(Op::Greater), mirrored(Op::GreaterOrEqual)), "{text} and {value}");
    // Two numbers are in exactly one order; what is no number is in none.
    if is_number(text) && is_number(value) {
        assert_eq!((less, greater), (!at_least, !at_most), "{text} and {value}");
        assert!(!(less && greater), "{text} and {value}");
        assert_eq!(number_is(Op::Equal), !less && !greater, "{text} and {value}");
        if let (Ok(text), Ok(value)) = (text.parse::<f64>(), value.parse::<f64>()) {
            // A float may be the same for two numbers, but never in the other order.
            assert!(!less || text <= value, "{text} and {value}");
        }
    } else {
        assert!(!(less || at_most || at_least || greater), "{text} and {value}");
    }
    if let (Ok(text), Ok(value)) = (text.parse::<i64>(), value.parse::<i64>()) {
        assert_eq!((less, greater), (text < value, text > value), "{text} and {value}");
    }
}
