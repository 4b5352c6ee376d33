//! Reads the text of a filter, from left to right, one function for each rule of the language.
//!
//! [`Filter::parse`] calls it. Whatever decides is a byte of ASCII, so that every cut is between characters.

use alloc::{string::String, vec::Vec};

use super::{BYTES_MAX, DEPTH_MAX, Filter, FilterError, Op, SPECIAL, TERMS_MAX, Term, VALUES_MAX};

pub(super) fn parse(text: &str) -> Result<Filter, FilterError> {
    if text.len() > BYTES_MAX {
        return Err(FilterError::TooLong);
    }
    if text.is_empty() {
        return Err(FilterError::Empty);
    }
    let mut parser = Parser { text, at: 0, depth: 0, terms: 0, values: 0 };
    let filter = parser.any()?;
    // Terms and groups end at nothing else.
    if parser.peek().is_some() { Err(FilterError::Unopened { column: parser.column() }) } else { Ok(filter) }
}

struct Parser<'t> {
    text: &'t str,
    /// The byte that is read next.
    at: usize,
    /// Groups that are open.
    depth: usize,
    /// Terms so far.
    terms: usize,
    /// Values so far.
    values: usize,
}

impl Parser<'_> {
    /// `all ('|' all)*`
    fn any(&mut self) -> Result<Filter, FilterError> {
        let mut parts = Vec::new();
        loop {
            match self.all()? {
                Filter::Any(inner) => parts.extend(inner),
                part @ (Filter::Term(_) | Filter::All(_)) => parts.push(part),
            }
            if !self.take(b'|') {
                return Ok(joined(parts, Filter::Any));
            }
        }
    }

    /// `factor ('&' factor)*`
    fn all(&mut self) -> Result<Filter, FilterError> {
        let mut parts = Vec::new();
        loop {
            match self.factor()? {
                Filter::All(inner) => parts.extend(inner),
                part @ (Filter::Term(_) | Filter::Any(_)) => parts.push(part),
            }
            if !self.take(b'&') {
                return Ok(joined(parts, Filter::All));
            }
        }
    }

    /// `'(' any ')'`, or a term.
    fn factor(&mut self) -> Result<Filter, FilterError> {
        let column = self.column();
        if !self.take(b'(') {
            return self.term();
        }
        if self.depth == DEPTH_MAX {
            return Err(FilterError::TooDeep { column });
        }
        self.depth += 1;
        let group = self.any()?;
        if !self.take(b')') {
            return Err(FilterError::Unclosed { column });
        }
        self.depth -= 1;
        match self.peek() {
            None | Some(b'&' | b'|' | b')') => Ok(group),
            Some(_) => Err(FilterError::AfterGroup { column: self.column() }),
        }
    }

    /// `field operator values`
    fn term(&mut self) -> Result<Filter, FilterError> {
        let column = self.column();
        let (op, start, end) = self.operator_from(self.at).ok_or(FilterError::Operator { column })?;
        if start == self.at {
            return Err(FilterError::Field { column });
        }
        if self.terms == TERMS_MAX {
            return Err(FilterError::TooManyTerms { column });
        }
        self.terms += 1;
        let field = unescaped(&self.text[self.at..start]);
        self.at = end;
        Ok(Filter::Term(Term { field, op, values: self.values()? }))
    }

    /// The values of a term, up to where another term begins or a group ends.
    fn values(&mut self) -> Result<Vec<String>, FilterError> {
        let mut values = Vec::new();
        let mut open = 0_usize;
        let mut start = self.at;
        loop {
            let next = self.peek();
            let is_end = match next {
                None | Some(b'|') => true,
                // Without an operator, what follows is more of this value.
                Some(b'&') => self.operator_from(self.at + 1).is_some(),
                Some(b')') => open == 0,
                Some(_) => false,
            };
            if is_end || next == Some(b',') {
                if self.values == VALUES_MAX {
                    return Err(FilterError::TooManyValues { column: start + 1 });
                }
                self.values += 1;
                values.push(unescaped(&self.text[start..self.at]));
                start = self.at + 1;
            }
            if is_end {
                return Ok(values);
            }
            match next {
                Some(b'(') => open += 1,
                Some(b')') => open -= 1,
                _ => {}
            }
            self.at = self.after(self.at);
        }
    }

    /// The operator of the term that begins at `from`, with its start and end, if there is one before the term is over.
    fn operator_from(&self, from: usize) -> Option<(Op, usize, usize)> {
        let bytes = self.text.as_bytes();
        let mut open = 0_usize;
        let mut at = from;
        loop {
            let (op, length) = match (*bytes.get(at)?, bytes.get(at + 1)) {
                (b'!', Some(b'=')) => (Op::NotEqual, 2),
                (b'>', Some(b'=')) => (Op::GreaterOrEqual, 2),
                (b'<', Some(b'=')) => (Op::LessOrEqual, 2),
                (b'=', _) => (Op::Equal, 1),
                (b'>', _) => (Op::Greater, 1),
                (b'<', _) => (Op::Less, 1),
                (b'~', _) => (Op::Contains, 1),
                (byte, _) => {
                    match byte {
                        b'&' | b'|' => return None,
                        b'(' => open += 1,
                        b')' => open = open.checked_sub(1)?,
                        _ => {}
                    }
                    at = self.after(at);
                    continue;
                }
            };
            return Some((op, at, at + length));
        }
    }

    /// Behind the byte at `at`, or behind the escape that begins there.
    fn after(&self, at: usize) -> usize {
        at + 1 + usize::from(is_escape(&self.text.as_bytes()[at..]))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn column(&self) -> usize {
        self.at + 1
    }
}

/// The parts under one roof, which a single one does not need.
fn joined(mut parts: Vec<Filter>, roof: fn(Vec<Filter>) -> Filter) -> Filter {
    if parts.len() == 1 { parts.remove(0) } else { roof(parts) }
}

/// Whether the text begins with a backslash and what one can escape.
fn is_escape(text: &[u8]) -> bool {
    matches!(text, [b'\\', special, ..] if SPECIAL.contains(special))
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        // The escape's own backslash goes; the character that it escapes, even another backslash, is not parsed again.
        let (text, after) =
            if is_escape(escape.as_bytes()) { (&escape[1..2], &escape[2..]) } else { escape.split_at(1) };
        plain.push_str(text);
        rest = after;
    }
    plain.push_str(rest);
    plain
}
