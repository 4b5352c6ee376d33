//! The program: reads the command line, runs what it asks for, and says what went wrong in one line.

use std::process::ExitCode;

use clap::Parser as _;
use thng_pubsub_server::{
    app,
    config::{Arguments, Command},
};

fn main() -> ExitCode {
    let Command::Serve(config) = Arguments::parse().command;
    match app::serve(*config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("thng-pubsub-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}
