//! The settings file: TOML, whose keys are the names of the flags.
//!
//! A file is read into defaults for the command line: variables override it, and flags override both. Every value
//! therefore has one parser. An error names file, line and the setting that was probably meant.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{Arg, Command};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::former_names::present_name;

/// The flag that names the file, and cannot be in it.
pub(super) const CONFIG: &str = "config";

/// The settings of a file: each value as the command line would spell it, and its line.
#[derive(Debug, Default)]
pub(super) struct SettingsFile {
    path: PathBuf,
    values: BTreeMap<String, (String, usize)>,
}

/// How alike two names have to be for one to be meant by the other, from 0 to 1.
pub(super) const ALIKE: f64 = 0.75;

impl SettingsFile {
    /// Reads a file, and checks each value against the setting of its name among `settings`.
    ///
    /// # Errors
    /// All that is wrong with it, one line each: `FILE:LINE: what`.
    pub(super) fn read(path: &Path, settings: &Command) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the settings file {}", path.display()))?;
        let line_of = |at: usize| 1 + text[..at.min(text.len())].matches('\n').count();
        let table = match DeTable::parse(&text) {
            Ok(table) => table,
            Err(error) => {
                let line = line_of(error.span().map_or(0, |span| span.start));
                bail!("{}:{line}: {}", path.display(), error.message());
            }
        };
        let mut file = Self { path: path.to_owned(), values: BTreeMap::new() };
        let mut faults = Vec::new();
        for (key, value) in table.get_ref() {
            let line = line_of(key.span().start);
            match read_setting(key.get_ref(), value, settings) {
                Ok((name, value)) => {
                    file.values.insert(name, (value, line));
                }
                Err(fault) => faults.push((line, fault)),
            }
        }
        if faults.is_empty() {
            return Ok(file);
        }
        faults.sort();
        let lines: Vec<_> =
            faults.iter().map(|(line, fault)| format!("{}:{line}: {fault}", path.display())).collect();
        bail!("{}", lines.join("\n"))
    }

    /// Makes the file's values the defaults of a command's settings.
    pub(super) fn as_defaults_of(&self, mut command: Command) -> Command {
        for (name, (value, _)) in &self.values {
            // A command of administrators has but some of them.
            if !settings(&command).any(|(known, _)| known == name) {
                continue;
            }
            command = command.mut_arg(id(name), |arg| arg.default_value(value.clone()));
        }
        command
    }

    /// The position of a setting in the file: `FILE:LINE`.
    pub(super) fn place(&self, name: &str) -> Option<String> {
        let (_, line) = self.values.get(name)?;
        Some(format!("{}:{line}", self.path.display()))
    }
}

/// What clap calls a setting.
pub(super) fn id(name: &str) -> String {
    name.replace('-', "_")
}

/// The settings that a command has, and that a file can name.
pub(super) fn settings(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    let named = command.get_arguments().filter_map(|arg| Some((arg.get_long()?, arg)));
    named.filter(|(name, _)| ![CONFIG, "help", "version"].contains(name))
}

fn read_setting(
    key: &str,
    value: &Spanned<DeValue<'_>>,
    command: &Command,
) -> Result<(String, String), String> {
    let name = key.replace('_', "-");
    let Some((_, arg)) = settings(command).find(|(known, _)| *known == name) else {
        return Err(unknown(key, value, command));
    };
    let text = spell(value.get_ref()).ok_or_else(|| {
        format!("`{key}` should be a text, a whole number, or a list of texts, as the flag --{name} takes it")
    })?;
    // Alone, so that no variable of the environment speaks up in between.
    let alone = Command::new("settings").no_binary_name(true).disable_help_flag(true);
    let alone = alone.arg(arg.clone().env(None::<&str>).default_value(None::<&str>));
    match alone.try_get_matches_from([format!("--{name}={text}")]) {
        Ok(_) => Ok((name, text)),
        Err(error) => Err(format!("`{key}` {}", reason(&error))),
    }
}

/// What clap says of a value, without what only helps at a command line.
pub(super) fn reason(error: &clap::Error) -> String {
    let text = error.to_string();
    let mut said = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("For more")) {
        let line = line.strip_prefix("error: ").unwrap_or(line);
        let _ = write!(said, "{}{line}", if said.is_empty() { "has an " } else { " " });
    }
    said
}

fn unknown(key: &str, value: &Spanned<DeValue<'_>>, command: &Command) -> String {
    if matches!(value.get_ref(), DeValue::Table(_)) {
        return format!(
            "`[{key}]`: there are no sections; write each setting at the top, such as `tls-cert = \"…\"`"
        );
    }
    if id(key) == CONFIG {
        return format!("`{key}`: a settings file cannot name another");
    }
    if let Some(present) = present_name(&key.replace('_', "-")) {
        return format!("`{key}` is now named `{present}`");
    }
    let alike = settings(command).map(|(known, _)| (strsim::jaro_winkler(key, known), known));
    let nearest = alike.max_by(|(left, _), (right, _)| left.total_cmp(right));
    match nearest.filter(|(likeness, _)| *likeness >= ALIKE) {
        Some((_, known)) => format!("there is no setting `{key}`; did you mean `{known}`?"),
        None => format!("there is no setting `{key}`; `thng-pubsub-server config print` lists all of them"),
    }
}

/// A value as the command line would spell it.
fn spell(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => {
            Some(i128::from_str_radix(number.as_str(), number.radix()).ok()?.to_string())
        }
        DeValue::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| spell(item.get_ref())).collect();
            Some(items?.join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SettingsFile, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.toml");
        fs::write(&path, text).expect("the file can be written");
        SettingsFile::read(&path, &crate::config::settings())
            .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
    }

    #[test]
    fn each_kind_of_value_is_spelled_as_the_flag_takes_it() {
        let file = read("http = \"off\"\nconnections-max = 1_000\ntls_cert = [\"a.pem\", \"b.pem\"]\n")
            .expect("a file");
        let value = |name: &str| file.values.get(name).map(|(value, line)| (value.as_str(), *line));
        assert_eq!(value("http"), Some(("off", 1)));
        assert_eq!(value("connections-max"), Some(("1000", 2)));
        assert_eq!(value("tls-cert"), Some(("a.pem,b.pem", 3)));
    }

    #[test]
    fn every_fault_is_named_with_its_line() {
        let faults = read("htp = \"off\"\n\nconnect-timeout-s = 0\ndurability = \"ful\"\n[tls]\ncert = 1\n")
            .expect_err("faults");
        let faults: Vec<_> = faults.lines().collect();
        assert_eq!(faults.len(), 4, "{faults:?}");
        assert_eq!(faults[0], "t.toml:1: there is no setting `htp`; did you mean `http`?");
        assert!(
            faults[1].starts_with("t.toml:3: `connect-timeout-s`") && faults[1].contains("1 to 600"),
            "{}",
            faults[1]
        );
        assert!(faults[2].starts_with("t.toml:4:") && faults[2].contains("full"), "{}", faults[2]);
        assert!(faults[3].starts_with("t.toml:5: `[tls]`"), "{}", faults[3]);
    }

    #[test]
    fn a_former_name_is_answered_with_the_present_one() {
        let fault = read("kept-bytes-max = 1\n").expect_err("a fault");
        assert_eq!(fault, "t.toml:1: `kept-bytes-max` is now named `session-queue-bytes-max`");
    }

    #[test]
    fn what_is_no_toml_is_refused_with_its_line() {
        let fault = read("http = \"off\"\nmqtt = \n").expect_err("a fault");
        assert!(fault.starts_with("t.toml:2: "), "{fault}");
        assert!(read("http = \"off\"\nhttp = \"off\"\n").expect_err("twice").starts_with("t.toml:2: "));
        assert!(read("config = \"x\"\n").expect_err("a fault").contains("another"));
        assert!(read("connections-max = 1.5\n").expect_err("a fault").contains("whole number"));
    }
}
