//! The program: reads the command line, runs what it asks for, and says what went wrong in one line.

use std::process::ExitCode;

use thng_pubsub_server::{
    admin,
    config::{self, Cli, Command, ConfigCommand},
    startup,
};

fn main() -> ExitCode {
    match config::read(std::env::args_os()).and_then(run) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("thng-pubsub-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(Cli { command, printed, warnings }: Cli) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(config) => startup::serve(*config, &warnings),
        Command::Config(ConfigCommand::Check(config)) => startup::check(&config, &warnings),
        Command::Config(ConfigCommand::Print(_)) => {
            startup::print_warnings(&warnings);
            startup::print(&printed)
        }
        Command::Administer(command) => {
            startup::print_warnings(&warnings);
            return admin::run(*command);
        }
    }?;
    Ok(ExitCode::SUCCESS)
}
