//! The program: reads the command line, runs what it asks for, and says what went wrong in one line.

use std::process::ExitCode;

use thng_pubsub_server::{
    app,
    config::{self, Asked, Command, ConfigCommand},
};

fn main() -> ExitCode {
    match config::read(std::env::args_os()).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("thng-pubsub-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(Asked { command, printed }: Asked) -> anyhow::Result<()> {
    match command {
        Command::Serve(config) => app::serve(*config),
        Command::Config(ConfigCommand::Check(config)) => app::check(&config),
        Command::Config(ConfigCommand::Print(_)) => app::print(&printed),
    }
}
