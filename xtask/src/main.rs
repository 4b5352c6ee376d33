//! The project's tasks: `cargo xtask run | test | lint | generate | fuzz | soak | bench | npm | dist`.
//!
//! Each command is one file; this one only finds it. `help` says what there is.
#![expect(clippy::print_stdout, reason = "a command line program answers on standard output")]

mod bench;
mod conformance;
mod dependencies;
mod dist;
mod fuzz;
mod help;
mod lint;
mod npm;
mod prose;
mod run;
mod server;
mod setup;
mod soak;
mod step;
mod tally;
mod test;
mod tidy;
mod wasm;

use std::process::ExitCode;

use anyhow::bail;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match command(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command(words: &[String]) -> anyhow::Result<()> {
    let Some((name, rest)) = words.split_first() else {
        help::print(None);
        return Ok(());
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        help::print(rest.first().map(String::as_str));
        return Ok(());
    }
    // Words behind `--` belong to another program, which has its own help.
    if rest.iter().take_while(|word| *word != "--").any(|word| word == "--help" || word == "-h") {
        help::print(Some(name));
        return Ok(());
    }
    match name.as_str() {
        "run" => run::run(rest),
        "test" => test::run(rest),
        "lint" => lint::run(rest),
        "generate" if rest.is_empty() => conformance::write(&setup::root()),
        "fuzz" => fuzz::run(rest),
        "soak" => soak::run(rest),
        "bench" => bench::run(rest),
        "dist" => dist::run(rest),
        "npm" => {
            let root = setup::root();
            setup::node()?;
            let log = &mut step::Log::default();
            setup::wasm_target(&root, log)?;
            setup::npm_packages(&root.join("npm"), log)?;
            println!("{}", npm::build(&root)?.display());
            Ok(())
        }
        other => bail!("there is no command `{other}`; `cargo xtask help` lists them"),
    }
}
