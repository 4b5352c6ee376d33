//! `cargo xtask run`: from a checkout to a server that answers, in one command.
//!
//! Sets up, builds the SDK and the server, starts it on `./data`, and says what to try first. Everything behind `--`
//! goes to the server; it and the environment come before what is chosen here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use anyhow::{Context, bail};

use crate::server::{self, Profile, Running};
use crate::step::{Log, announce, human};
use crate::{npm, setup};

/// Where the server listens unless its own flags say otherwise.
const HTTP: &str = "127.0.0.1:8080";
const MQTT: &str = "127.0.0.1:1883";

/// Build everything, start the server on ./data, and print commands to try
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Unless its flags say otherwise, the server listens on 127.0.0.1:8080 (HTTP, WebSocket) and 127.0.0.1:1883
(MQTT). The first start creates the operator's API key in ./data/operator.key. Ctrl-C stops the server.

Examples:
  cargo xtask run
  cargo xtask run -- --http 127.0.0.1:0 --mqtt 127.0.0.1:0 --log debug
  cargo xtask run --debug -- --data /tmp/try")]
pub(crate) struct Args {
    /// Build with optimizations (default)
    #[arg(long, overrides_with_all = ["release", "debug"])]
    release: bool,
    /// Build quickly, without optimizations
    #[arg(long, overrides_with_all = ["release", "debug"])]
    debug: bool,
    /// Flags of the server
    #[arg(last = true, value_name = "SERVER FLAGS")]
    pub(crate) server_flags: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let root = setup::root();
    let flags = &args.server_flags;
    for (name, default) in [("--http", HTTP), ("--mqtt", MQTT)] {
        let address = setting(flags, name).unwrap_or_else(|| default.to_owned());
        if address != "off" {
            server::check_free(name, &address)?;
        }
    }
    let started = Instant::now();
    let binary = prepare(&root, args.profile())?;
    announce(&format!("starting the server (everything was ready after {})", human(started.elapsed())));
    serve(&root, &binary, flags)
}

impl Args {
    fn profile(&self) -> Profile {
        if self.debug { Profile::Debug } else { Profile::Release }
    }
}

/// The value of a server flag, as `--name value` or `--name=value`; the last one counts.
fn flag<'a>(flags: &'a [String], name: &str) -> Option<&'a str> {
    let mut value = None;
    for (at, word) in flags.iter().enumerate() {
        if word == name {
            value = flags.get(at + 1).map(String::as_str);
        } else if let Some(rest) = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
            value = Some(rest);
        }
    }
    value
}

/// The flags without one of them and its value: the server takes each only once.
fn without(flags: &[String], name: &str) -> Vec<String> {
    let mut others = Vec::new();
    let mut words = flags.iter();
    while let Some(word) = words.next() {
        if word == name {
            words.next();
        } else if !word.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')) {
            others.push(word.clone());
        }
    }
    others
}

/// What was chosen for a setting: by its flag, or by the variable of the same name, `THNG_PUBSUB_HTTP` for `--http`.
pub(crate) fn setting(flags: &[String], name: &str) -> Option<String> {
    let variable = name.trim_start_matches('-').to_ascii_uppercase().replace('-', "_");
    let in_environment = || std::env::var_os(format!("THNG_PUBSUB_{variable}"))?.into_string().ok();
    flag(flags, name).map(str::to_owned).or_else(in_environment)
}

/// Sets up and builds everything; returns the server's binary.
fn prepare(root: &Path, profile: Profile) -> anyhow::Result<PathBuf> {
    let log = &mut Log::default();
    setup::node()?;
    setup::wasm_target(root, log)?;
    setup::npm_packages(&root.join("npm"), log)?;
    announce("building the SDK (some minutes the first time)");
    let tarball = npm::build(root)?;
    npm::build_examples(root, &tarball, log)?;
    announce("building the server (some minutes the first time)");
    server::build(root, profile, log)
}

/// Starts the server, says what to try, and stays until it ends.
fn serve(root: &Path, binary: &Path, flags: &[String]) -> anyhow::Result<()> {
    let data = setting(flags, "--data").map_or_else(|| root.join("data"), PathBuf::from);
    let mut all = without(flags, "--data");
    for (name, default) in [("--http", HTTP), ("--mqtt", MQTT)] {
        if setting(flags, name).is_none() {
            all.extend([name.to_owned(), default.to_owned()]);
        }
    }
    let signals = count_signals()?;
    let mut running = Running::start(binary, &data, &all)?;
    println!("{}", welcome(&running.http, &running.mqtt, &running.operator_key));
    let mut seen = 0;
    let status = running.wait(|child| {
        let now = signals.load(Ordering::Relaxed);
        if now > seen && seen == 0 {
            announce("stopping the server (once more to kill it)");
            server::terminate(child);
        } else if now > seen {
            let _ = child.kill();
        }
        seen = now;
    })?;
    if !status.success() {
        bail!("the server ended with {status}; its log above says why");
    }
    Ok(())
}

/// Counts SIGINT, SIGTERM and SIGHUP from now on, instead of dying of them.
fn count_signals() -> anyhow::Result<Arc<AtomicU32>> {
    let signals = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&signals);
    ctrlc::set_handler(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    })
    .context("cannot handle Ctrl-C")?;
    Ok(signals)
}

/// The text for a server that is ready: its addresses, the key, and commands to copy.
fn welcome(http: &str, mqtt: &str, key: &str) -> String {
    let mut text = format!(
        "\nthng-pubsub is ready.\n\n  REST, WebSocket    http://{http}\n  MQTT               {mqtt}\n"
    );
    if http != "off" {
        text +=
            &format!("  MQTT on WebSocket  ws://{http}/mqtt\n  Examples           http://{http}/examples/\n");
    }
    text += &format!("  Operator API key   {key}\n");
    if let (true, Some((host, port))) = (http != "off", mqtt.rsplit_once(':')) {
        text += &format!(
            r#"
Try it: create a thng, watch its property over MQTT, and set it over REST.

  KEY={key}
  THNG=$(curl -s -H "Authorization: $KEY" -H 'Content-Type: application/json' \
    -d '{{"name": "My first thng"}}' http://{http}/thngs | sed 's/.*"id":"\([^"]*\)".*/\1/')

  mosquitto_sub -h {host} -p {port} -u authorization -P "$KEY" -t "/thngs/$THNG/properties/temperature" &

  curl -H "Authorization: $KEY" -H 'Content-Type: application/json' -X PUT \
    -d '[{{"value": 21.5}}]' http://{http}/thngs/$THNG/properties/temperature
"#
        );
    }
    text + "\nCtrl-C stops the server.\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn release_is_the_default_and_the_rest_goes_to_the_server() {
        let parsed = |line: &str| {
            let args: Args = crate::parse(line).unwrap();
            (args.profile(), args.server_flags)
        };
        assert_eq!(parsed(""), (Profile::Release, vec![]));
        assert_eq!(parsed("--debug -- --http x --release"), (Profile::Debug, words("--http x --release")));
        assert_eq!(parsed("--debug --release"), (Profile::Release, vec![]), "the last one counts");
    }

    #[test]
    fn a_server_flag_without_the_dashes_before_it_is_explained() {
        let error = crate::parse::<Args>("--http 127.0.0.1:0").unwrap_err().to_string();
        assert!(error.contains("'-- --http'"), "{error}");
    }

    #[test]
    fn a_flag_is_found_in_both_spellings_and_the_last_one_counts() {
        assert_eq!(flag(&words("--http a --mqtt b"), "--mqtt"), Some("b"));
        assert_eq!(flag(&words("--http=a --http=b"), "--http"), Some("b"));
        assert_eq!(flag(&words("--https a"), "--http"), None);
    }

    #[test]
    fn a_flag_is_taken_out_with_its_value_in_both_spellings() {
        assert_eq!(without(&words("--http a --data b --log c"), "--data"), words("--http a --log c"));
        assert_eq!(without(&words("--data=b --database c"), "--data"), words("--database c"));
    }

    #[test]
    fn the_readme_shows_what_is_printed() {
        let readme = std::fs::read_to_string(setup::root().join("README.md")).unwrap();
        let printed = welcome(HTTP, MQTT, "(80 letters and digits, also in data/operator.key)");
        let (addresses, _) = printed.trim_start().split_once("\n\nTry it").unwrap();
        assert!(readme.contains(&format!("```text\n{addresses}\n```\n")), "{addresses}");
    }

    #[test]
    fn the_welcome_shows_the_key_and_the_right_addresses() {
        let text = welcome("127.0.0.1:8080", "127.0.0.1:1884", "SECRET");
        for part in
            ["KEY=SECRET", "http://127.0.0.1:8080/thngs", "-p 1884", "http://127.0.0.1:8080/examples/"]
        {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
}
