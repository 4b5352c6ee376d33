//! Writes the tables of `docs/configuration.md`: each setting as clap describes it.

use std::{fs, path::Path};

use clap::{Arg, Command};
use thng_pubsub_doc_tables::assert_documented;

use super::{file, range::range_of, settings};

const PAGE: &str = "docs/configuration.md";

const COLUMNS: [&str; 5] = ["flag", "variable", "default", "value", "meaning"];

fn row(arg: &Arg) -> [String; 5] {
    let name = arg.get_long().expect("a setting has a name");
    let variable = arg.get_env().expect("a setting has a variable").to_string_lossy();
    let default = arg.get_default_values().first().map(|value| format!("`{}`", value.to_string_lossy()));
    let help = arg.get_long_help().or(arg.get_help()).expect("a setting has a help").to_string();
    let sentences = help.split_whitespace().collect::<Vec<_>>().join(" ");
    [
        format!("`--{name}`"),
        format!("`{variable}`"),
        default.unwrap_or_else(|| "none".into()),
        value(arg),
        sentences.strip_suffix('.').unwrap_or(&sentences).into(),
    ]
}

/// What a setting can be: a unit and a range, words, or the names of its forms.
fn value(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let form = names.first().map(ToString::to_string).unwrap_or_default();
    if let Some(range) = range_of(arg) {
        return format!("{}, {range}", form.to_lowercase().replace('_', " "));
    }
    let words: Vec<_> =
        arg.get_possible_values().iter().map(|word| format!("`{}`", word.get_name())).collect();
    match (words.is_empty(), arg.get_value_delimiter()) {
        (false, _) => words.join(" or "),
        (true, Some(_)) => format!("`{form}`, …"),
        (true, None) => forms(arg, &form),
    }
}

/// The form of a value, and what else its parser takes where it refuses most texts.
fn forms(arg: &Arg, form: &str) -> String {
    let takes = |value: &str| {
        let given = format!("--{}={value}", arg.get_long().expect("a setting has a name"));
        let command = Command::new("page").no_binary_name(true).arg(arg.clone());
        command.try_get_matches_from([given]).is_ok()
    };
    let mut forms = vec![format!("`{form}`")];
    if !takes("any text") {
        forms.extend(takes("public:1/s").then(|| format!("`public:{form}`")));
        forms.extend(takes("off").then(|| "`off`".to_owned()));
    }
    forms.join(" or ")
}

#[test]
fn the_value_column_names_every_form_of_a_value() {
    let settings = settings();
    let value_of =
        |name| file::settings(&settings).find(|(known, _)| *known == name).map(|(_, arg)| value(arg));
    for (name, expected) in [
        ("mqtts", "`HOST:PORT` or `off`"),
        ("request-rate-per-key", "`RATE` or `off`"),
        ("failed-logins-per-address", "`RATE` or `public:RATE` or `off`"),
        ("otlp-endpoint", "`http://HOST:PORT`"),
        ("data", "`DIR`"),
    ] {
        assert_eq!(value_of(name).as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn every_setting_is_documented() {
    let settings = settings();
    let all: Vec<&Arg> = file::settings(&settings).map(|(_, arg)| arg).collect();
    let heading = |arg: &Arg| arg.get_help_heading().expect("a setting is in a section").to_owned();
    for section in all.chunk_by(|one, next| heading(one) == heading(next)) {
        let heading = format!("## {}", heading(section[0]));
        assert_documented(PAGE, &heading, &COLUMNS, section.iter().map(|arg| row(arg)));
    }
}

/// The numbers behind flags on other pages, as in `` `--body-bytes-max` (1 MiB) ``.
fn defaults_on(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let flags = page.split("`--").skip(1).filter_map(|text| text.split_once("` ("));
    let behind = flags.filter_map(|(name, text)| Some((name, text.split_once(')')?.0)));
    behind.filter(|(name, value)| {
        !name.contains('`') && value.starts_with(|first: char| first.is_ascii_digit())
    })
}

/// The number that people write as `10,000`, `1 MiB` or `10 s`.
fn number(text: &str) -> u64 {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let number: u64 = number.replace(',', "").parse().expect("a whole number");
    match unit {
        "" | "s" | "ms" => number,
        "KiB" => number << 10,
        "MiB" => number << 20,
        "GiB" => number << 30,
        unit => panic!("{unit} is no unit of a default"),
    }
}

#[test]
fn defaults_on_other_pages_are_those_of_the_settings() {
    let settings = settings();
    let mut count = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")).expect("docs") {
        let Ok(page) = fs::read_to_string(entry.expect("an entry").path()) else { continue };
        for (name, shown) in defaults_on(&page) {
            let (_, arg) = file::settings(&settings).find(|(known, _)| *known == name).expect(name);
            let default = arg.get_default_values().first().and_then(|default| default.to_str());
            assert_eq!(default, Some(number(shown).to_string().as_str()), "--{name} ({shown})");
            count += 1;
        }
    }
    assert!(count > 15, "{count}");
}

#[test]
fn files_of_fixed_numbers_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join(PAGE)).expect("the page is there");
    // Every other part between backticks is code.
    let files: Vec<&str> = page.split('`').skip(1).step_by(2).filter(|code| code.ends_with(".rs")).collect();
    assert!(!files.is_empty());
    for file in files {
        assert!(root.join(file).is_file(), "{file}");
    }
}
