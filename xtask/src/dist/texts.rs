//! Asks the program for its own texts: the man page, completions for three shells, and the settings.
//!
//! Called by `dist`. The program that was just built is asked, so that none of these can be out of date.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

/// The texts of one program.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) man: String,
    pub(super) bash: String,
    pub(super) zsh: String,
    pub(super) fish: String,
    /// A file of settings with each at its default.
    pub(super) settings: String,
    /// The same for the service, with those that it begins with.
    pub(super) service_settings: String,
}

impl Texts {
    /// Asks a program. `service` is a file with the settings of the service, and with what is to be said at the top.
    ///
    /// # Errors
    /// It cannot be run on this machine, does not know one of the commands, or not one of the settings.
    pub(super) fn ask(program: &Path, service: &Path) -> anyhow::Result<Self> {
        let head = std::fs::read_to_string(service);
        let head = head.with_context(|| format!("cannot read {}", service.display()))?;
        let service = service.to_str().context("the folder of the checkout is not UTF-8")?;
        Ok(Self {
            man: ask(program, &["man"])?,
            bash: ask(program, &["completions", "bash"])?,
            zsh: ask(program, &["completions", "zsh"])?,
            fish: ask(program, &["completions", "fish"])?,
            settings: ask(program, &["config", "print"])?,
            service_settings: under(&head, &ask(program, &["config", "print", "--config", service])?),
        })
    }

    /// The section of the manual that the page says it belongs into.
    pub(super) fn section(&self) -> &str {
        let head = self.man.lines().find_map(|line| line.strip_prefix(".TH "));
        let section = head.and_then(|head| head.split_whitespace().nth(1)).map(|word| word.trim_matches('"'));
        section.filter(|section| section.starts_with(|digit: char| digit.is_ascii_digit())).unwrap_or("1")
    }
}

/// What the program prints. It runs without the environment, in which settings of this machine may be.
fn ask(program: &Path, words: &[&str]) -> anyhow::Result<String> {
    let asked = format!("`{} {}`", program.display(), words.join(" "));
    let output = Command::new(program).args(words).env_clear().output();
    let output = output.with_context(|| format!("cannot run {asked}"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{asked} failed ({}): {}",
            output.status,
            error.lines().find(|line| !line.is_empty()).unwrap_or_default()
        );
    }
    let text = String::from_utf8(output.stdout).with_context(|| format!("{asked} printed no text"))?;
    if text.trim().is_empty() {
        bail!("{asked} printed nothing");
    }
    Ok(text)
}

/// The comment that a file begins with, and below it what the program has made of the rest.
fn under(head: &str, printed: &str) -> String {
    let comment: Vec<&str> = head.lines().take_while(|line| line.starts_with('#')).collect();
    format!("{}\n\n{}", comment.join("\n"), printed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_settings_follow_their_explanation() {
        let text =
            under("# Ours.\n#\n# More.\n\n# Not this.\ndata = \"x\"\n", "# The folder.\ndata = \"x\"\n");
        assert_eq!(text, "# Ours.\n#\n# More.\n\n# The folder.\ndata = \"x\"\n");
    }

    #[test]
    fn the_page_says_which_section_it_belongs_into() {
        let texts = |man: &str| {
            let [bash, zsh, fish, settings, service_settings] = [const { String::new() }; 5];
            Texts { man: man.to_owned(), bash, zsh, fish, settings, service_settings }
        };
        assert_eq!(texts(".ie \\n(.g .ds Aq\n.TH thng-pubsub-server 8 \"\"\n").section(), "8");
        assert_eq!(texts(".TH x\n").section(), "1");
    }

    #[test]
    fn a_program_that_does_not_know_a_command_is_named_with_it() {
        let error = ask(Path::new("false"), &["man"]).unwrap_err().to_string();
        assert!(error.contains("`false man` failed"), "{error}");
        assert!(ask(Path::new("true"), &["man"]).unwrap_err().to_string().contains("printed nothing"));
    }
}
