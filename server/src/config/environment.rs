//! Variables of the environment: their names; empty ones say nothing, and names that no setting has are reported.

use std::collections::BTreeSet;

use clap::{
    Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{
    file::{ALIKE, id, reason},
    former_names::present_name,
};

/// What the names of all variables begin with.
const PREFIX: &str = "THNG_PUBSUB_";

/// Letters that are missing, added, exchanged or another, in a name that is taken for a misspelt one.
const SLIPS_MAX: usize = 2;

/// The variable of a setting.
pub(super) fn variable(setting: &str) -> String {
    format!("{PREFIX}{}", id(setting).to_uppercase())
}

/// The command with a variable for each setting. An argument of an inner command that has a setting's name is that
/// setting, as in the settings file.
pub(super) fn with_variables(command: Command, settings: &Command) -> Command {
    let is_setting = |name: &str| settings.get_arguments().any(|arg| arg.get_long() == Some(name));
    let command = command.mut_args(|arg| match arg.get_long().filter(|name| is_setting(name)) {
        Some(name) => {
            let variable = variable(name);
            arg.env(variable)
        }
        None => arg,
    });
    command.mut_subcommands(|inner| with_variables(inner, settings))
}

/// The variables that the process was started with, by name, where the value is not empty.
#[derive(Debug)]
pub(super) struct Environment {
    names: BTreeSet<String>,
    empty: BTreeSet<String>,
}

impl Environment {
    /// That of the process.
    pub(super) fn read() -> Self {
        Self::of(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.is_empty()))),
        )
    }

    fn of(variables: impl Iterator<Item = (String, bool)>) -> Self {
        let ours = variables.filter(|(name, _)| name.starts_with(PREFIX));
        let (empty, names): (Vec<_>, Vec<_>) = ours.partition(|(_, is_empty)| *is_empty);
        let names_of = |variables: Vec<(String, bool)>| variables.into_iter().map(|(name, _)| name).collect();
        Self { names: names_of(names), empty: names_of(empty) }
    }

    /// The command without the variables that are empty.
    pub(super) fn without_empty(&self, command: Command) -> Command {
        if self.empty.is_empty() {
            return command;
        }
        let command = command.mut_args(|arg| match arg.get_env().and_then(|name| name.to_str()) {
            Some(name) if self.empty.contains(name) => arg.env(None::<&str>),
            _ => arg,
        });
        command.mut_subcommands(|inner| self.without_empty(inner))
    }

    /// A sentence for each variable that looks like a setting and is none.
    pub(super) fn unknown(&self, command: &Command) -> Vec<String> {
        let known = known(command);
        let no_name_is_near = |name: &String| {
            format!("the variable {name} is no setting; `thng-pubsub-server config print` lists all of them")
        };
        let sentence = |name: &String| {
            let named = renamed(name).or_else(|| alike(name, &known));
            named.unwrap_or_else(|| no_name_is_near(name))
        };
        self.unknown_names(&known).map(sentence).collect()
    }

    /// Those of [`Environment::unknown`] with a former or a misspelt name. Commands beside the server print only these,
    /// because scripts around them, such as this project's tests, have variables of their own.
    pub(super) fn misnamed(&self, command: &Command) -> Vec<String> {
        let known = known(command);
        let names = self.unknown_names(&known).filter(|name| !bare(name).starts_with("TEST_"));
        names.filter_map(|name| renamed(name).or_else(|| misspelt(name, &known))).collect()
    }

    /// The variables that are no setting.
    fn unknown_names<'a>(&'a self, known: &'a BTreeSet<String>) -> impl Iterator<Item = &'a String> {
        self.names.iter().filter(|name| !known.contains(*name) && !is_of_an_orchestrator(name))
    }

    /// What clap says of a value that came from a variable, with the name of the variable.
    pub(super) fn fault(&self, error: &clap::Error, arguments: &[String]) -> Option<String> {
        if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
            return None;
        }
        let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return None };
        let flag = flag.split([' ', '=']).next().unwrap_or_default();
        let is_given = arguments.iter().any(|given| given.split('=').next() == Some(flag));
        let variable = variable(flag.strip_prefix("--")?);
        (!is_given && self.names.contains(&variable)).then(|| format!("{variable} {}", reason(error)))
    }
}

/// The variables of all settings.
fn known(command: &Command) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    collect(command, &mut known);
    known
}

fn collect(command: &Command, known: &mut BTreeSet<String>) {
    known.extend(command.get_arguments().filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned)));
    command.get_subcommands().for_each(|inner| collect(inner, known));
}

/// Kubernetes gives each container the addresses of the services in its namespace, one of which may have our name.
fn is_of_an_orchestrator(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or(name);
    rest == "PORT"
        || rest.starts_with("PORT_")
        || rest.contains("SERVICE_HOST")
        || rest.contains("SERVICE_PORT")
}

/// A name without what all of them begin with, which makes any two alike.
fn bare(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or_default()
}

/// The sentence for the former name of a setting.
fn renamed(name: &str) -> Option<String> {
    let present = present_name(&bare(name).to_lowercase().replace('_', "-"))?;
    Some(format!("the variable {name} is no setting; it is now named {}", variable(present)))
}

/// The sentence for a name that is like that of a setting.
fn alike(name: &str, known: &BTreeSet<String>) -> Option<String> {
    let likeness = |known: &String| strsim::jaro_winkler(bare(name), bare(known));
    let nearest = known.iter().max_by(|one, next| likeness(one).total_cmp(&likeness(next)))?;
    (likeness(nearest) >= ALIKE).then(|| did_you_mean(name, nearest))
}

/// The sentence for a name that is a setting's but for a slip or two, at most one in three letters.
fn misspelt(name: &str, known: &BTreeSet<String>) -> Option<String> {
    let slips = |known: &String| strsim::osa_distance(bare(name), bare(known));
    let nearest = known.iter().min_by_key(|known| slips(known))?;
    let are_few = slips(nearest) <= SLIPS_MAX && 3 * slips(nearest) <= bare(name).len();
    are_few.then(|| did_you_mean(name, nearest))
}

fn did_you_mean(name: &str, setting: &str) -> String {
    format!("the variable {name} is no setting; did you mean {setting}?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::command_line;

    #[test]
    fn unknown_variables_are_named_with_the_likely_one() {
        let variables = [
            ("THNG_PUBSUB_ALOWED_ORIGINS", false),
            ("THNG_PUBSUB_HTTP", false),
            ("THNG_PUBSUB_HELD_PER_KEY_MAX", false),
            ("THNG_PUBSUB_QQQ", false),
            ("THNG_PUBSUB_EMTPY", true),
            ("THNG_PUBSUB_SERVICE_HOST", false),
            ("THNG_PUBSUB_PORT_8080_TCP_ADDR", false),
            ("PATH", false),
        ];
        let environment =
            Environment::of(variables.into_iter().map(|(name, is_empty)| (name.to_owned(), is_empty)));
        let said = environment.unknown(&command_line());
        assert_eq!(said.len(), 3, "{said:?}");
        assert_eq!(
            said[0],
            "the variable THNG_PUBSUB_ALOWED_ORIGINS is no setting; did you mean THNG_PUBSUB_ALLOWED_ORIGINS?"
        );
        assert_eq!(
            said[1],
            "the variable THNG_PUBSUB_HELD_PER_KEY_MAX is no setting; it is now named THNG_PUBSUB_CONNECTIONS_PER_KEY_MAX"
        );
        assert!(said[2].contains("THNG_PUBSUB_QQQ") && said[2].contains("config print"), "{}", said[2]);
        assert_eq!(environment.misnamed(&command_line()), said[..2]);
    }

    #[test]
    fn variables_of_scripts_are_not_taken_for_misspelt_settings() {
        let of_scripts = ["URL", "TEST_KEY", "TEST_URL", "MQTT_URL", "HTTP_PORT", "API_KEY", "SERVER", "TOP"];
        let environment =
            Environment::of(of_scripts.into_iter().map(|name| (format!("{PREFIX}{name}"), false)));
        assert_eq!(environment.misnamed(&command_line()), [""; 0]);
        let misspelt = ["DATTA", "OPERATOR_KYE", "HTPS", "MAX_PAGE_SIZE"];
        let environment =
            Environment::of(misspelt.into_iter().map(|name| (format!("{PREFIX}{name}"), false)));
        assert_eq!(environment.misnamed(&command_line()).len(), 3);
    }
}
