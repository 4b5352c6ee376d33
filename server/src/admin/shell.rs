//! `completions` and `man`: what shells and people know of the command line, made from the description that reads it.

use std::{fs, io, io::Write as _};

use anyhow::Context as _;
use clap::Command;
use clap_mangen::Man as Page;

use crate::config::{
    administration::{Completions, Man},
    command_line,
};

/// What the program is called where it is installed.
const NAME: &str = "thng-pubsub-server";

/// Prints completions for a shell.
///
/// # Errors
/// Standard output cannot be written to.
pub(super) fn completions(completions: &Completions) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut command_line(), NAME, &mut script);
    out(&script)
}

/// Prints a manual page for the whole program, or writes one for each command into a folder.
///
/// # Errors
/// Standard output or the folder cannot be written to.
pub(super) fn man(man: &Man) -> anyhow::Result<()> {
    match &man.folder {
        Some(folder) => fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(command_line(), folder))
            .with_context(|| format!("cannot write manual pages into {}", folder.display())),
        None => out(&page().context("the manual page could not be made")?),
    }
}

/// The page of the program, with every command in it.
fn page() -> io::Result<Vec<u8>> {
    let mut command = command_line().disable_help_subcommand(true);
    // Fills in what commands inherit, such as their full names.
    command.build();
    let mut page = Vec::new();
    Page::new(command.clone()).render(&mut page)?;
    for below in command.get_subcommands() {
        describe(below, NAME, &mut page)?;
    }
    Ok(page)
}

/// A section for a command and those below it: what it does, how it is called, and its options.
fn describe(command: &Command, above: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let name = format!("{above} {}", command.get_name());
    let mut below = command.get_subcommands().peekable();
    if below.peek().is_some() {
        return below.try_for_each(|below| describe(below, &name, page));
    }
    let own = Page::new(command.clone().bin_name(name.clone()));
    let mut section = Vec::new();
    own.render_synopsis_section(&mut section)?;
    own.render_description_section(&mut section)?;
    own.render_options_section(&mut section)?;
    writeln!(page, ".SH \"{}\"", name.to_uppercase())?;
    // Sections of a command's own page are parts of this one, which already has the lines before them.
    let section = String::from_utf8_lossy(&section).replace(".SH ", ".SS ");
    let lines = section.lines().filter(|line| !line.starts_with(".ie ") && !line.starts_with(".el "));
    lines.for_each(|line| page.extend([line.as_bytes(), b"\n"].concat()));
    Ok(())
}

fn out(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).context("standard output cannot be written to")
}
