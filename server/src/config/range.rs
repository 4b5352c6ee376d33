//! The range of a number on the command line, which its refusal, the help and the page of settings show.

use std::{ffi::OsStr, marker::PhantomData, ops::RangeInclusive};

use clap::{
    Arg, Command, Error,
    builder::{PossibleValue, StyledStr, TypedValueParser},
};

/// Reads a whole number of a range.
#[derive(Debug, Clone)]
pub(super) struct Within<T> {
    range: RangeInclusive<u64>,
    number: PhantomData<T>,
}

/// A number from the first to the last, both included.
pub(super) fn within<T>(range: RangeInclusive<u64>) -> Within<T> {
    Within { range, number: PhantomData }
}

/// A number that has no upper bound but that of its type.
pub(super) fn from<T>(least: u64) -> Within<T> {
    within(least..=u64::MAX)
}

impl<T> Within<T> {
    fn bounds(&self) -> [u64; 2] {
        [*self.range.start(), *self.range.end()]
    }
}

impl<T: TryFrom<u64> + Clone + Send + Sync + 'static> TypedValueParser for Within<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let (range, [least, most]) = (self.range.clone(), self.bounds());
        let parse = move |text: &str| {
            let number = text.parse().ok().filter(|number| range.contains(number));
            number.and_then(|number| T::try_from(number).ok()).ok_or(format!("it can be {least} to {most}"))
        };
        TypedValueParser::parse_ref(&parse, command, arg, value)
    }

    /// The two bounds, which clap shows nowhere: they are hidden, and read by [`range_of`].
    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(
            self.bounds().into_iter().map(|bound| PossibleValue::new(bound.to_string()).hide(true)),
        ))
    }
}

/// The range of a setting, in words; none where it is no number.
pub(super) fn range_of(arg: &Arg) -> Option<String> {
    let values = arg.get_possible_values();
    let [least, most] = values.as_slice() else { return None };
    let hidden = |bound: &PossibleValue| bound.is_hide_set().then(|| bound.get_name().to_owned());
    let (least, most) = (hidden(least)?, hidden(most)?);
    Some(if most == u64::MAX.to_string() { format!("from {least}") } else { format!("{least} to {most}") })
}

/// The setting with its range in its help.
pub(super) fn with_range_in_help(arg: Arg) -> Arg {
    let Some(range) = range_of(&arg) else { return arg };
    let with_range = |help: &StyledStr| StyledStr::from(format!("{help} [range: {range}]"));
    let (help, long_help) = (arg.get_help().map(with_range), arg.get_long_help().map(with_range));
    let arg = if let Some(help) = help { arg.help(help) } else { arg };
    let arg = if let Some(help) = long_help { arg.long_help(help) } else { arg };
    arg.hide_possible_values(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arg(parser: Within<usize>) -> Arg {
        Arg::new("n").long("n").help("A number").value_parser(parser)
    }

    fn refusal(parser: Within<usize>, value: &str) -> Option<String> {
        let command = Command::new("test").no_binary_name(true).arg(arg(parser));
        command.try_get_matches_from([format!("--n={value}")]).err().map(|error| error.to_string())
    }

    #[test]
    fn numbers_outside_of_the_range_are_refused_with_the_range() {
        for value in ["2", "256"] {
            assert_eq!(refusal(within(2..=256), value), None);
        }
        for value in ["1", "257", "-1", " ", "x", "18446744073709551616"] {
            let refusal = refusal(within(2..=256), value).expect("out of the range");
            assert!(refusal.contains("it can be 2 to 256") && refusal.contains("'--n"), "{refusal}");
        }
        assert_eq!(refusal(from(1), "18446744073709551615"), None);
        assert!(refusal(from(1), "0").expect("too few").contains("it can be 1 to 18446744073709551615"));
    }

    #[test]
    fn the_range_is_in_the_help_and_in_no_list_of_values() {
        let help = |parser| {
            let mut command = Command::new("test").arg(with_range_in_help(arg(parser)));
            command.render_help().to_string()
        };
        assert!(help(within(2..=256)).contains("A number [range: 2 to 256]\n"), "{}", help(within(2..=256)));
        assert!(help(from(1)).contains("A number [range: from 1]\n"));
        assert!(!help(from(1)).contains("possible values"));
        assert_eq!(range_of(&Arg::new("word").value_parser(["a", "b"])), None);
    }
}
