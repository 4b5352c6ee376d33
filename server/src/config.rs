//! The settings, read once at the start from the command line, the environment and a file.
//!
//! One name, spelled `--http` on the command line, `THNG_PUBSUB_HTTP` in the environment and `http` in the file; the
//! command line counts most, the file least. No other code reads the environment. Nothing secret is printed.
//!
//! A setting is stated once, as a field with its default, its range (`range.rs`) and its help. Its flag, its variable,
//! its key in the file and its row in `docs/configuration.md` follow from it. The crates have settings structs without
//! ranges and defaults, so that only this crate depends on the command line.
//!
//! - [`listeners`], [`data`], [`log`], [`protocols`], [`connections`], [`messages`], [`lists`], [`subscriptions`],
//!   [`sessions`], [`rates`], [`client_events`]: the settings, in the order of the help
//! - [`administration`]: the commands of administrators
//! - `environment.rs`: variables that are empty, or that no setting has
//! - `file.rs`: the settings file; `former_names.rs`: names of before
//! - `print.rs`: all settings as such a file

pub mod administration;
pub mod client_events;
pub mod connections;
pub mod data;
mod environment;
mod file;
mod former_names;
pub mod listeners;
pub mod lists;
pub mod log;
pub mod messages;
#[cfg(test)]
mod page;
mod print;
pub mod protocols;
mod range;
pub mod rates;
pub mod sessions;
pub mod subscriptions;

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueHint, error::ErrorKind,
    parser::ValueSource,
};

use crate::identity::hash_key;
use environment::Environment;
use file::SettingsFile;
use listeners::{Listen, ListenerSettings};

/// A Pub/Sub broker for the digital identities of physical things.
#[derive(Debug, Parser)]
#[command(name = "thng-pubsub-server", version, about)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The end of the help of `serve`.
const SETTINGS_HELP: &str = "\
Every setting has a default: `thng-pubsub-server serve` alone starts a server for this machine.
A flag --name overrides the variable THNG_PUBSUB_NAME, which overrides the key `name` in the settings file.
`thng-pubsub-server config print` writes such a file, and `config check` examines one.";

/// What the program can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server until SIGTERM or Ctrl-C.
    #[command(after_help = SETTINGS_HELP)]
    Serve(Box<Config>),
    /// Say what the settings are, without serving.
    #[command(subcommand)]
    Config(ConfigCommand),
    #[command(flatten)]
    Administer(Box<administration::Administration>),
}

/// What can be asked of the settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether a server would start with these settings, files that they name included.
    Check(Box<Config>),
    /// Print every setting with its meaning and its value, as a settings file.
    Print(Box<Config>),
}

impl Command {
    /// The settings that come with it.
    fn config(&self) -> Option<&Config> {
        match self {
            Self::Serve(config)
            | Self::Config(ConfigCommand::Check(config) | ConfigCommand::Print(config)) => Some(config),
            Self::Administer(command) => match &**command {
                administration::Administration::Doctor(doctor) => Some(&doctor.settings),
                _ => None,
            },
        }
    }
}

/// What was asked for, and how to say where it came from.
#[derive(Debug)]
pub struct Cli {
    /// What to do.
    pub command: Command,
    /// The settings as a file, where that is what to do.
    pub printed: String,
    /// What is not as it was probably meant, and keeps nothing from starting.
    pub warnings: Vec<String>,
}

/// The description of the command line, with the variables of the environment and the ranges of numbers.
pub(crate) fn command_line() -> clap::Command {
    environment::with_variables(Arguments::command(), &Config::command()).mut_subcommands(with_ranges)
}

/// The settings alone, with their variables.
fn settings() -> clap::Command {
    let settings = Config::command();
    environment::with_variables(settings.clone(), &settings)
}

fn with_ranges(command: clap::Command) -> clap::Command {
    command.mut_args(range::with_range_in_help).mut_subcommands(with_ranges)
}

/// Reads the command line, the environment and the settings file.
///
/// `--help`, and what is no command line, ends the program as clap does.
///
/// # Errors
/// What is wrong with a setting or with the file, with where it comes from.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<Cli> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let environment = Environment::read();
    let shown: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let parse = |command: clap::Command| {
        command.try_get_matches_from(&arguments).unwrap_or_else(|error| {
            let fault = environment.fault(&error, &shown);
            fault
                .map_or(error, |fault| clap::Error::raw(ErrorKind::InvalidValue, format!("{fault}\n")))
                .exit()
        })
    };
    let plain = environment.without_empty(command_line());
    let first = parse(plain.clone());
    let path = innermost(&first).try_get_one::<PathBuf>(file::CONFIG).ok().flatten();
    let file = match path {
        Some(path) => SettingsFile::read(path, &settings())?,
        None => SettingsFile::default(),
    };
    let matches = parse(with_defaults(plain, &file));
    let command = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()).command;
    let given = innermost(&matches);
    if let Some(Err(InvalidSetting { setting, sentence })) = command.config().map(Config::check) {
        let place = match given.value_source(&file::id(setting)) {
            Some(ValueSource::EnvVariable) => Some(environment::variable(setting)),
            Some(ValueSource::DefaultValue) => file.place(setting),
            _ => None,
        };
        let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
        anyhow::bail!("{place}{sentence}");
    }
    let printed = match command {
        Command::Config(ConfigCommand::Print(_)) => print::print(&settings(), given, &file),
        _ => String::new(),
    };
    let warnings = match command {
        Command::Serve(_) | Command::Config(ConfigCommand::Check(_)) => environment.unknown(&command_line()),
        Command::Config(ConfigCommand::Print(_)) | Command::Administer(_) => {
            environment.misnamed(&command_line())
        }
    };
    Ok(Cli { command, printed, warnings })
}

/// The matches of the command that was named last.
fn innermost(mut matches: &clap::ArgMatches) -> &clap::ArgMatches {
    while let Some((_, inner)) = matches.subcommand() {
        matches = inner;
    }
    matches
}

/// Makes what the file says the defaults of every command that takes a file.
fn with_defaults(mut command: clap::Command, file: &SettingsFile) -> clap::Command {
    let takes_file = command.get_arguments().any(|arg| arg.get_id() == file::CONFIG);
    if takes_file {
        command = file.as_defaults_of(command);
    }
    let names: Vec<_> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |inner| with_defaults(inner, file));
    }
    command
}

/// A setting that cannot be, and why.
#[derive(Debug)]
struct InvalidSetting {
    setting: &'static str,
    sentence: String,
}

/// The settings of `serve`.
#[derive(Debug, Parser)]
pub struct Config {
    #[command(flatten)]
    pub file: ConfigFile,
    #[command(flatten)]
    pub listeners: listeners::ListenerSettings,
    #[command(flatten)]
    pub data: data::DataSettings,
    #[command(flatten)]
    pub log: log::LogSettings,
    #[command(flatten)]
    pub protocols: protocols::ProtocolSettings,
    #[command(flatten)]
    pub connections: connections::ConnectionSettings,
    #[command(flatten)]
    pub messages: messages::MessageSettings,
    #[command(flatten)]
    pub lists: lists::ListSettings,
    #[command(flatten)]
    pub subscriptions: subscriptions::SubscriptionSettings,
    #[command(flatten)]
    pub sessions: sessions::SessionSettings,
    #[command(flatten)]
    pub rates: rates::RateLimitSettings,
    #[command(flatten)]
    pub client_events: client_events::ClientEventSettings,
}

/// The flag that names the settings file.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// A settings file: TOML with the names of the flags as keys, such as `http = "[::]:8080"`.
    ///
    /// A command of administrators reads only the settings that it has as flags, such as --data.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}

impl Default for Config {
    /// Every setting at its default, independent of the command line and the environment.
    fn default() -> Self {
        Self::try_parse_from(["serve"]).expect("no setting is required, and a test reads every default")
    }
}

impl Config {
    /// Checks what one flag alone cannot know.
    fn check(&self) -> Result<(), InvalidSetting> {
        let ListenerSettings { http, mqtt, https, mqtts, tls_cert, tls_key } = &self.listeners;
        let (chains, private_keys) = (tls_cert.len(), tls_key.len());
        let ensure = |is_possible: bool, setting: &'static str, sentence: String| {
            if is_possible { Ok(()) } else { Err(InvalidSetting { setting, sentence }) }
        };
        ensure(
            chains == private_keys,
            "tls-cert",
            format!(
                "--tls-cert names {chains} file(s) and --tls-key {private_keys}: each certificate needs its key, in the same order"
            ),
        )?;
        if let Some(Err(error)) = self.data.operator_key.as_ref().map(|key| hash_key(key.reveal())) {
            return Err(InvalidSetting {
                setting: "operator-key",
                sentence: format!("--operator-key: {error}"),
            });
        }
        ensure(
            [&http.listen, mqtt, https, mqtts].iter().any(|listen| **listen != Listen::Off),
            "http",
            "--http, --mqtt, --https and --mqtts are all `off`: there is nothing to serve".into(),
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_in_its_range() {
        Config::default().check().expect("the defaults are possible");
        command_line().debug_assert();
    }

    #[test]
    fn settings_of_administration_are_those_of_the_server() {
        let settings = settings();
        let mut shared = 0;
        for command in command_line().get_subcommands() {
            for arg in command.get_arguments().filter(|arg| arg.get_env().is_some()) {
                let setting = settings.get_arguments().find(|known| known.get_id() == arg.get_id());
                assert_eq!(arg.get_env(), setting.and_then(clap::Arg::get_env), "{}", command.get_name());
                shared += 1;
            }
        }
        assert!(shared > 50, "{shared}");
    }
}
