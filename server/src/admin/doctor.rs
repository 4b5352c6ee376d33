//! `doctor`: checks everything that a server depends on, and says what to do about each problem. Changes nothing.
//!
//! A check is a function that adds findings to a [`Report`]: of the folder and its files ([`files`]), of the database
//! ([`database`]), of the machine and the ports ([`machine`]). A check whose subject is missing says nothing, since
//! another check reports what is missing.

use std::process::ExitCode;

use serde_json::json;

use super::{
    client,
    output::{print, table},
};
use crate::config::administration::Doctor;

mod database;
mod files;
mod machine;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Ok,
    /// It works, and may not for long.
    Warning,
    /// It does not work, or is not safe.
    Problem,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

#[derive(Debug)]
struct Finding {
    check: &'static str,
    state: State,
    found: String,
    /// What to do; nothing where it is well.
    advice: String,
}

/// What was found so far.
#[derive(Debug, Default)]
struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, State::Ok, found, "");
    }

    fn warning(&mut self, check: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.add(check, State::Warning, found, advice);
    }

    fn problem(&mut self, check: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.add(check, State::Problem, found, advice);
    }

    fn add(
        &mut self,
        check: &'static str,
        state: State,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.findings.push(Finding { check, state, found: found.into(), advice: advice.into() });
    }

    fn worst(&self) -> State {
        self.findings.iter().map(|finding| finding.state).max().unwrap_or(State::Ok)
    }
}

/// Examines everything and prints what was found.
///
/// # Errors
/// Standard output cannot be written to. Problems are no errors, but another exit code.
pub(super) fn examine(doctor: &Doctor) -> anyhow::Result<ExitCode> {
    let data = &doctor.settings.data.folder.path;
    let server = client::status(data);
    let mut report = Report::default();
    match &server {
        Some(server) => {
            report.ok("server", format!("runs: version {}, process {}", server.version, server.process));
            if server.version != env!("CARGO_PKG_VERSION") {
                report.warning(
                    "server",
                    format!("this program is version {}", env!("CARGO_PKG_VERSION")),
                    "restart the server, or use the program that it was started from",
                );
            }
        }
        None => report.ok("server", "none answers at the data folder's admin.sock"),
    }
    files::check(&mut report, data);
    database::check(&mut report, data, doctor.full);
    machine::check(&mut report, &doctor.settings, server.as_ref());
    show(&report, doctor.json)?;
    Ok(if report.worst() == State::Problem { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn show(report: &Report, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return report.findings.iter().try_for_each(|Finding { check, state, found, advice }| {
            let advice = (!advice.is_empty()).then_some(advice);
            let line = json!({ "check": check, "state": state.name(), "found": found, "advice": advice });
            print(&line.to_string())
        });
    }
    let rows: Vec<_> = report
        .findings
        .iter()
        .flat_map(|Finding { check, state, found, advice }| {
            let found = [state.name().to_owned(), (*check).to_owned(), found.clone()];
            let advice = (!advice.is_empty()).then(|| [String::new(), String::new(), format!("-> {advice}")]);
            [Some(found), advice].into_iter().flatten()
        })
        .collect();
    let count = |state| report.findings.iter().filter(|finding| finding.state == state).count();
    print(&format!(
        "{}\n\n{} ok, {} warning(s), {} problem(s)",
        table(&rows),
        count(State::Ok),
        count(State::Warning),
        count(State::Problem)
    ))
}
