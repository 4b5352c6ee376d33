//! Which words stay in which files: topics, other people's libraries, the clock, the environment, and what belongs
//! to one machine only.
//!
//! A rule is a row of [`RULES`]: words, where it applies, and which files may say them.

use super::{Finding, Source};

/// What the text of a file is taken as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Code only: comments and unit tests may say the word.
    Code,
    /// Every line of every kind of file.
    Everything,
}

struct Rule {
    words: &'static [&'static str],
    look: Look,
    /// Files below these are asked; all where empty.
    within: &'static [&'static str],
    /// Files or folders that may say it; a bare name is meant in every folder.
    except: &'static [&'static str],
    why: &'static str,
}

const RULES: [Rule; 8] = [
    Rule {
        words: &["\"/thngs", "\"/products", "\"/actions", "\"/collections", "\"/batches"],
        look: Look::Code,
        within: &["crates", "server", "wasm-sdk", "npm"],
        // The router is checked against the table by a test of its own; grants are about paths, topics or not.
        except: &[
            "crates/protocol/src/topic/table.rs",
            "crates/transport/src/rest/router.rs",
            "crates/broker/src/auth",
            "crates/broker/src/testing.rs",
        ],
        why: "topics are written in crates/protocol/src/topic/table.rs only; elsewhere a topic is a `Topic`",
    },
    Rule {
        words: &["rumqttd::", "use rumqttd", "extern crate rumqttd"],
        look: Look::Code,
        within: &["crates", "server/src"],
        // `lib.rs` says `rumqttd::` of its own module of that name.
        except: &["crates/bus/src/rumqttd.rs", "crates/bus/src/lib.rs"],
        why: "only crates/bus/src/rumqttd.rs names rumqttd",
    },
    Rule {
        words: &["rusqlite"],
        look: Look::Code,
        within: &["crates", "server/src"],
        except: &["crates/store"],
        why: "only crates/store names the database",
    },
    Rule {
        words: &["env::var", "env::vars", "env::set_var"],
        look: Look::Code,
        within: &["crates", "server/src", "wasm-sdk/src"],
        // A build script gets its folder from a variable.
        except: &["server/src/config.rs", "server/src/config", "build.rs"],
        why: "only server/src/config.rs reads the environment",
    },
    Rule {
        words: &["SystemTime::now", "OffsetDateTime::now", "Utc::now"],
        look: Look::Code,
        within: &["crates", "server/src", "wasm-sdk/src"],
        except: &["crates/broker/src/clock.rs"],
        why: "only crates/broker/src/clock.rs reads the time of day, so that tests can hold it",
    },
    Rule {
        words: &["TODO", "FIXME"],
        look: Look::Everything,
        within: &[],
        // A checksum may spell anything.
        except: &["xtask/src/tidy/words.rs", "Cargo.lock", "package-lock.json"],
        why: "work that is left belongs into an issue",
    },
    Rule {
        words: &[
            "registry.npmjs.org",
            "registry.yarnpkg.com",
            "index.crates.io",
            "static.crates.io",
            "files.pythonhosted.org",
            "pypi.org/simple",
            "deb.debian.org",
            "/artifactory/",
        ],
        look: Look::Everything,
        within: &[],
        except: &["xtask/src/tidy/words.rs"],
        why: "which registry is used is the machine's business",
    },
    Rule {
        words: &["/work/", "/tmp/brief", "/root/", "/home/", "/Users/"],
        look: Look::Everything,
        within: &[],
        except: &["xtask/src/tidy/words.rs"],
        why: "no path of one machine",
    },
];

/// Finds every word that is in the wrong file.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let rules = RULES.iter().filter(|rule| rule.applies(source));
    rules.flat_map(|rule| rule.find(source)).collect()
}

impl Rule {
    fn applies(&self, source: &Source) -> bool {
        let within = self.within.is_empty() || self.within.iter().any(|folder| source.starts_with(folder));
        let name = source.path.file_name().unwrap_or_default();
        let exempt = self.except.iter().any(|file| source.starts_with(file) || name == *file);
        let is_code = source.is_rust() || source.is_javascript();
        let asked = self.look == Look::Everything || (is_code && !source.is_test());
        within && asked && !exempt
    }

    fn find(&self, source: &Source) -> Vec<Finding> {
        let lines: Vec<(usize, &str)> = match self.look {
            Look::Code => source.code().collect(),
            Look::Everything => source.text.lines().enumerate().map(|(at, line)| (at + 1, line)).collect(),
        };
        let word_in = |line: &str| self.words.iter().find(|word| line.contains(**word)).copied();
        let found = lines.into_iter().filter_map(|(line, text)| Some((line, word_in(text)?)));
        found.map(|(line, word)| Finding { line, what: format!("`{word}`: {}", self.why) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::source;
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&source(path, text)).into_iter().map(|one| one.line).collect()
    }

    #[test]
    fn topic_literals_are_allowed_in_table_router_and_tests() {
        let text = "// \"/thngs/:id\"\nlet topic = \"/thngs/1\";\n";
        assert_eq!(lines("crates/transport/src/mqtt/session.rs", text), [2]);
        assert_eq!(lines("npm/index.js", text), [2]);
        for path in [
            "crates/protocol/src/topic/table.rs",
            "crates/transport/src/rest/router.rs",
            "crates/protocol/src/topic/tests.rs",
            "tests/src/matrix.rs",
            "docs/topics.md",
        ] {
            assert_eq!(lines(path, text), [0; 0], "{path}");
        }
    }

    #[test]
    fn libraries_are_named_in_their_modules_only() {
        assert_eq!(lines("crates/broker/src/broker.rs", "use rumqttd::Broker;\n"), [1]);
        assert_eq!(lines("crates/bus/src/rumqttd.rs", "use rumqttd::Broker;\n"), [0; 0]);
        assert_eq!(lines("crates/broker/src/commands.rs", "use rusqlite::Connection;\n"), [1]);
        assert_eq!(lines("crates/store/src/sqlite.rs", "use rusqlite::Connection;\n"), [0; 0]);
    }

    #[test]
    fn the_clock_and_the_environment_have_one_reader() {
        let text = "std::time::SystemTime::now();\nstd::env::var_os(\"A\");\n";
        assert_eq!(lines("crates/broker/src/broker.rs", text), [2, 1]);
        assert_eq!(lines("crates/broker/src/clock.rs", text), [2]);
        assert_eq!(lines("server/src/config.rs", text), [1]);
        assert_eq!(lines("xtask/src/setup.rs", text), [0; 0]);
    }

    #[test]
    fn what_belongs_to_one_machine_is_found_in_any_file() {
        assert_eq!(lines("README.md", "see /home/me/notes\n"), [1]);
        assert_eq!(lines("npm/package-lock.json", "\"resolved\": \"https://registry.npmjs.org/x\"\n"), [1]);
        assert_eq!(lines("crates/transport/src/rest/tests.rs", "// TODO\n"), [1]);
    }
}
