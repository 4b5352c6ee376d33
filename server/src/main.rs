//! The program: reads the command line, runs what it asks for, and says what went wrong in one line.

use std::process::ExitCode;

use clap::Parser as _;
use thng_pubsub_server::{
    admin, app,
    config::{Arguments, Command},
};

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Serve(config) => app::serve(*config).map(|()| ExitCode::SUCCESS),
        Command::Administer(command) => admin::run(command),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("thng-pubsub-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}
