//! The administrators' commands: everything that `main` runs besides `serve`.
//!
//! Commands that read open the database beside a running server. Commands that write ask that server (`client.rs`) or,
//! where none runs, start its broker without listeners. None needs an API key: a user that may open the data folder has
//! everything in it.
//!
//! - `keys.rs`, `accounts.rs`: who may get in
//! - `backup.rs`: a copy in one file, and the way back
//! - `export.rs`, `import.rs`: everything as JSON lines, whose form is in `lines.rs`
//! - `doctor.rs`, `health.rs`: is it well?
//! - `shell.rs`: completions and manual pages
//! - `output.rs`, `progress.rs`: what people see

use std::process::ExitCode;

use crate::{
    config::administration::{Accounts, Administration, Keys},
    startup,
};

mod accounts;
mod backup;
mod client;
mod doctor;
mod export;
mod health;
mod import;
mod keys;
mod lines;
mod output;
mod priority;
mod progress;
mod shell;

/// Runs a command.
///
/// # Errors
/// A sentence that says what happened and what to do.
pub fn run(command: Administration) -> anyhow::Result<ExitCode> {
    // Only what is wrong: what a command has to say it prints itself.
    startup::log::start_plain("warn")?;
    match command {
        Administration::Keys(Keys::List(list)) => keys::list(&list),
        Administration::Keys(Keys::Create(create)) => keys::create(create),
        Administration::Keys(Keys::Revoke(revoke)) => keys::revoke(revoke),
        Administration::Accounts(Accounts::Create(create)) => accounts::create(create),
        Administration::Backup(backup) => backup::back_up(&backup),
        Administration::Restore(restore) => backup::restore(&restore),
        Administration::Export(export) => export::export(&export),
        Administration::Import(import) => import::import(&import),
        Administration::Doctor(doctor) => return doctor::examine(&doctor),
        Administration::Health(health) => health::ask(&health),
        Administration::Completions(completions) => shell::completions(&completions),
        Administration::Man(man) => shell::man(&man),
    }?;
    Ok(ExitCode::SUCCESS)
}
