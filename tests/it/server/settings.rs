//! The settings: where they come from, which of them counts, and that their page says what the program does.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use thng_pubsub_tests::server::{binary, run};
use thng_pubsub_tests::{KEY, Launch};

/// Runs `config` with nothing in the environment but what is given.
fn config(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary());
    command.arg("config").args(arguments).env_clear().envs(environment.iter().copied());
    command.output().expect("the binary can be run")
}

fn printed(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = config(&[&["print"], arguments].concat(), environment);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// What `config check` says, in a folder of its own that holds `settings.toml`.
fn checked(settings: &str, more: &[&str]) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.toml");
    fs::write(&file, settings).expect("the file can be written");
    let path = file.to_str().expect("text");
    let output = config(&[&["check", "--config", path], more].concat(), &[]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
    (output.status.success(), said.replace(path, "settings.toml"))
}

/// Name and value of each setting that `config print` shows at its default.
fn defaults() -> Vec<(String, String)> {
    let text = printed(&[], &[]);
    let settings = text.lines().filter_map(|line| line.strip_prefix("# ")?.split_once(" = "));
    let named =
        settings.filter(|(name, _)| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
    named.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}

#[test]
fn the_settings_page_has_a_row_and_default_for_each_setting() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = fs::read_to_string(page).expect("docs/configuration.md");
    let defaults = defaults();
    assert!(defaults.len() > 30, "{defaults:?}");
    for (name, value) in &defaults {
        let variable = format!("THNG_PUBSUB_{}", name.to_uppercase().replace('-', "_"));
        let begin = format!("| `--{name}` | `{variable}` | ");
        let row =
            page.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("a row of --{name}"));
        let cells: Vec<&str> = row.split(" | ").collect();
        assert_eq!(cells.len(), 5, "flag, variable, default, unit, meaning: {row}");
        let shows_a_value = cells[2] != "none";
        let is_placeholder = |letter: char| letter.is_ascii_uppercase() || "[]\"_…:".contains(letter);
        let is_shown = value.replace("http://", "").chars().all(is_placeholder);
        assert_eq!(shows_a_value, !is_shown, "{row}");
        assert!(!shows_a_value || cells[2] == format!("`{value}`"), "the default is {value}: {row}");
        assert!(!cells[3].trim().is_empty(), "has a unit: {row}");
        assert!(cells[4].len() > 10, "says what it is for: {row}");
    }
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `--")?.split_once('`'));
    for (name, _) in rows {
        assert!(
            name == "config" || defaults.iter().any(|(known, _)| known == name),
            "--{name} is no setting"
        );
    }
}

#[test]
fn flags_override_the_environment_which_overrides_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.toml");
    fs::write(&file, "bulk-size-max = 7\npage_size_max = 8\nmembers-max = 9\n")
        .expect("the file can be written");
    let variables = [
        ("THNG_PUBSUB_CONFIG", file.to_str().expect("text")),
        ("THNG_PUBSUB_PAGE_SIZE_MAX", "18"),
        ("THNG_PUBSUB_MEMBERS_MAX", "19"),
    ];
    let text = printed(&["--members-max", "29"], &variables);
    for line in ["bulk-size-max = 7", "page-size-max = 18", "members-max = 29"] {
        assert!(text.lines().any(|known| known == line), "{line}: {text}");
    }
    assert!(
        text.lines().any(|line| line == "# session-queue-messages-max = 10000"),
        "a default is a comment: {text}"
    );
}

#[test]
fn what_is_printed_is_a_file_with_the_same_settings() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.toml");
    let flags =
        ["--http", "off", "--connections-max", "5", "--tls-cert", "a \"b\".pem,c.pem", "--tls-key", "d,e"];
    let text = printed(&flags, &[]);
    fs::write(&file, &text).expect("the file can be written");
    assert_eq!(printed(&["--config", file.to_str().expect("text")], &[]), text);
}

#[test]
fn an_unknown_name_is_refused_with_file_line_and_the_nearest() {
    let (is_fine, said) = checked("http = \"127.0.0.1:0\"\noutbound-queue-mesages-max = 5\n", &[]);
    assert!(!is_fine);
    assert!(
        said.contains(
            "settings.toml:2: there is no setting `outbound-queue-mesages-max`; did you mean `outbound-queue-messages-max`?"
        ),
        "{said}"
    );
}

#[test]
fn an_invalid_value_is_refused_with_its_origin() {
    for (settings, naming) in [
        ("connect-timeout-s = 0", "settings.toml:1: `connect-timeout-s`"),
        ("\n\npage-size-max = 1000", "settings.toml:3: `page-size-max` has an invalid value '1000'"),
        ("page-size-max = 1000", "'--page-size-max <ITEMS>': it can be 1 to 100"),
        ("durability = \"fully\"", "[possible values: full, normal]"),
        ("http = 8080", "HOST:PORT"),
        (
            "http = \"off\"\nmqtt = \"off\"",
            "settings.toml:1: --http, --mqtt, --https and --mqtts are all `off`",
        ),
        ("log = \"a=b=c\"", "--log"),
        ("https = \"127.0.0.1:0\"\ntls-cert = \"no.pem\"\ntls-key = \"no.key\"", "no.pem"),
    ] {
        let (is_fine, said) = checked(settings, &[]);
        assert!(!is_fine && said.contains(naming), "{settings}: {said}");
    }
}

#[test]
fn an_unknown_variable_is_named_with_the_likely_one() {
    let variables = [("THNG_PUBSUB_ALOWED_ORIGINS", "https://a.example")];
    let likely = "THNG_PUBSUB_ALOWED_ORIGINS is no setting; did you mean THNG_PUBSUB_ALLOWED_ORIGINS?";
    let output = config(&["check"], &variables);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains(likely), "{said}");

    let server = Launch::new().variable(variables[0].0, variables[0].1).start();
    assert!(server.log().contains("WARN") && server.log().contains(likely), "{}", server.log());
}

/// Each command beside the server, with what it needs to begin.
const COMMANDS: &[&[&str]] = &[
    &["config", "check"],
    &["config", "print"],
    &["keys", "list"],
    &["keys", "create", "--operator", "a@example.com"],
    &["keys", "revoke", "id"],
    &["accounts", "create"],
    &["backup", "file"],
    &["restore", "file"],
    &["export", "-"],
    &["import", "file"],
    &["doctor"],
    &["health", "--url", "http://127.0.0.1:1"],
    &["completions", "bash"],
    &["man"],
];

#[test]
fn every_command_names_a_misspelt_variable() {
    let help = run(["--help"]).printed();
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for name in listed
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| !["serve", "help"].contains(name))
    {
        assert!(COMMANDS.iter().any(|command| command[0] == name), "{name} is not tried");
    }
    let likely = "warning: the variable THNG_PUBSUB_DATTA is no setting; did you mean THNG_PUBSUB_DATA?";
    for arguments in COMMANDS {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(binary());
        command.args(*arguments).env_clear().current_dir(folder.path());
        command
            .env("THNG_PUBSUB_DATTA", "data")
            .env("THNG_PUBSUB_TEST_KEY", "key")
            .env("THNG_PUBSUB_URL", "url");
        let output = command.output().expect("the binary can be run");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.lines().any(|line| line == likely), "{arguments:?}: {said}");
        let warnings = said.lines().filter(|line| line.starts_with("warning: the variable")).count();
        // `check` is for finding settings, so it names all that are unknown.
        assert_eq!(warnings, if *arguments == ["config", "check"] { 3 } else { 1 }, "{arguments:?}: {said}");
    }
}

#[test]
fn an_empty_variable_says_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.toml");
    fs::write(&file, "bulk-size-max = 7\n").expect("the file can be written");
    let path = file.to_str().expect("text");
    let names = ["BULK_SIZE_MAX", "HTTP", "OPERATOR_KEY", "DURABILITY", "TLS_CERT", "ALLOWED_ORIGINS", "LOG"];
    let names: Vec<_> = names.iter().map(|name| format!("THNG_PUBSUB_{name}")).collect();
    let variables: Vec<_> = names.iter().map(|name| (&**name, "")).collect();
    let output = config(&["check", "--config", path], &variables);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(printed(&["--config", path], &variables), printed(&["--config", path], &[]));
}

#[test]
fn words_are_taken_in_any_case_or_refused_by_the_variable() {
    let text = printed(&[], &[("THNG_PUBSUB_DURABILITY", "NORMAL"), ("THNG_PUBSUB_LOG_FORMAT", "Json")]);
    assert!(text.contains("\ndurability = \"NORMAL\"") && text.contains("\nlog-format = \"Json\""), "{text}");
    for (variable, value, naming) in [
        ("THNG_PUBSUB_DURABILITY", "FULLY", "[possible values: full, normal]"),
        ("THNG_PUBSUB_HTTP", "8080", "HOST:PORT"),
        ("THNG_PUBSUB_CONNECT_TIMEOUT_S", "0", "it can be 1 to 600"),
        ("THNG_PUBSUB_PAGE_SIZE_MAX", "1000", "it can be 1 to 100"),
        ("THNG_PUBSUB_ALLOWED_ORIGINS", "https://bücher.example", "xn--"),
    ] {
        let output = config(&["check"], &[(variable, value)]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{said}");
        assert!(
            said.contains(&format!("{variable} has an invalid value")) && said.contains(naming),
            "{said}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_refused_by_its_name() {
    let output = config(&["check", "--config", "no/such.toml"], &[]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no/such.toml"), "{output:?}");
}

#[test]
fn a_key_among_the_settings_is_never_printed() {
    let text = printed(&["--operator-key", KEY], &[]);
    assert!(text.contains("operator-key is set, and not shown") && !text.contains(KEY), "{text}");
    let (_, said) = checked(&format!("operator-key = \"{}\"", &KEY[1..]), &[]);
    assert!(said.contains("operator-key") && !said.contains(&KEY[1..]), "{said}");
}

#[test]
fn a_server_takes_its_settings_from_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.toml");
    fs::write(&file, "mqtt = \"off\"\n").expect("the file can be written");
    let server = Launch::new().without("--mqtt").flag("--config", file.to_str().expect("text")).start();
    assert!(!server.ready_line().contains("mqtt="), "{}", server.ready_line());
    fs::write(&file, "mqt = \"off\"\n").expect("the file can be written");
    let ended = Launch::new().flag("--config", file.to_str().expect("text")).refused();
    assert!(ended.stderr.contains("did you mean `mqtt`?"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
}
