//! `config print`: every setting with its meaning and its value, as a settings file.
//!
//! Settings at their default are comments, so that the output can be used as it is, or be cut down to what differs.
//! Nothing secret is in it.

use std::fmt::Write as _;

use clap::{Arg, ArgMatches, Command, parser::ValueSource};

use super::file::{SettingsFile, settings};

/// Settings that are not shown.
const SECRET: [&str; 1] = ["operator-key"];

/// The settings of a command as a settings file.
pub(super) fn print(command: &Command, matches: &ArgMatches, file: &SettingsFile) -> String {
    let mut out = String::from(
        "# Settings of thng-pubsub-server. What begins with `#` is the default.\n\
         # A variable THNG_PUBSUB_NAME counts more than this file, and a flag --name counts most.\n",
    );
    for (name, arg) in settings(command) {
        out.push('\n');
        let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
        for line in wrap(&about) {
            let _ = writeln!(out, "# {line}");
        }
        let is_default =
            matches!(matches.value_source(arg.get_id().as_str()), None | Some(ValueSource::DefaultValue))
                && file.place(name).is_none();
        let values: Vec<_> = matches
            .get_raw(arg.get_id().as_str())
            .into_iter()
            .flatten()
            .map(|value| value.to_string_lossy().into_owned())
            .collect();
        let _ = match (SECRET.contains(&name), is_default, values.is_empty()) {
            (true, true, _) => writeln!(out, "# {name} = \"…\""),
            (true, false, _) => writeln!(out, "# {name} is set, and not shown."),
            (false, _, true) => writeln!(out, "# {name} = {}", example(arg)),
            (false, true, false) => writeln!(out, "# {name} = {}", literal(arg, &values)),
            (false, false, false) => writeln!(out, "{name} = {}", literal(arg, &values)),
        };
    }
    out
}

/// A value as TOML.
fn literal(arg: &Arg, values: &[String]) -> String {
    let quote = |value: &String| match value.parse::<u64>() {
        Ok(number) => number.to_string(),
        Err(_) => toml::Value::from(value.as_str()).to_string(),
    };
    if arg.get_value_delimiter().is_some() {
        return format!("[{}]", values.iter().map(quote).collect::<Vec<_>>().join(", "));
    }
    values.first().map(quote).unwrap_or_default()
}

/// The placeholder for the value of a setting that has none.
fn example(arg: &Arg) -> String {
    let name = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    if arg.get_value_delimiter().is_some() { format!("[\"{name}\"]") } else { format!("\"{name}\"") }
}

/// Letters of a line of a comment.
const WIDTH: usize = 96;

fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is a line from the start");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
