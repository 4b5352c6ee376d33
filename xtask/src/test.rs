//! `cargo xtask test`: everything that must be green, from a fresh checkout, with its own set-up.
//!
//! A suite is a row of [`SUITES`] with what it needs; what is needed is prepared once, by the same command. The
//! suites find what they test through the environment variables that [`Suites::variables`] sets, and in no other way.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use anyhow::{Context, bail};

use crate::dist;
use crate::fuzz;
use crate::npm;
use crate::server::{self, Profile, Running};
use crate::setup::{self, TestRunner};
use crate::step::{Log, Session, stream};

/// Files of a folder share an account, and some count what is in it. `tests/js/with-server.mjs` has it too.
const ONE_FILE_AT_A_TIME: &str = "--test-concurrency=1";

/// How long one test of a Node.js suite may take, in milliseconds. Up to Node.js 20 it holds for a whole file too, and one
/// with many pages in Chromium takes minutes on two slow cores.
const NODE_TEST_LIMIT_MS: u32 = 420_000;

/// One suite: its name on the command line, what it shows, and what it needs besides its own code.
struct Suite {
    name: &'static str,
    about: &'static str,
    needs: &'static [Need],
    run: fn(&Suites, &mut Log) -> anyhow::Result<()>,
}

/// What is prepared before a suite that needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// The release build of the server.
    Server,
    /// The SDK, built and packed.
    Sdk,
    /// Debian's Mosquitto with `mosquitto_pub` and `mosquitto_sub`, and its C library of Paho.
    DebianClients,
    /// A Python with the packages of `tests/python/requirements.txt`.
    PythonClients,
    /// Debian's Chromium.
    Chromium,
    /// The programs of `npm/test/runtimes/`: the versions of Node.js that the SDK is for, and workerd.
    Runtimes,
}

const SUITES: [Suite; 8] = [
    Suite {
        name: "rust",
        about: "unit and property tests of every crate, on this machine",
        needs: &[],
        run: |suites, log| {
            // With what is left out of the usual build, so that it is tested too.
            let features = ["--features", "thng-pubsub-server/otel"];
            suites.rust(
                &[&["--workspace", "--exclude", "thng-pubsub-tests"][..], &features].concat(),
                None,
                log,
            )
        },
    },
    Suite {
        name: "fuzz",
        about: "each fuzz target of crates/protocol/ for 20 s, where a nightly toolchain is installed",
        needs: &[],
        run: |suites, log| fuzz::suite(&suites.root, &suites.filters, log),
    },
    Suite {
        name: "blackbox",
        about: "the server's binary through every protocol, also with clients that others wrote (tests/)",
        needs: &[Need::Server, Need::DebianClients, Need::PythonClients],
        // Most of them wait for the clocks of their server, so twice as many as there are cores run at once.
        run: |suites, log| suites.rust(&["--package", "thng-pubsub-tests"], Some(2 * cores()), log),
    },
    Suite {
        name: "clients",
        about: "clients from npm that others wrote, in Node.js and in Chromium (tests/js/)",
        needs: &[Need::Server, Need::Chromium],
        run: |suites, log| suites.node(&suites.root.join("tests/js"), ".", log),
    },
    Suite {
        name: "openapi",
        about: "schemathesis, led through everything that /openapi.json says (tests/openapi/)",
        needs: &[Need::Server],
        run: Suites::openapi,
    },
    Suite {
        name: "sdk",
        about: "the packed SDK and the examples in Node.js and in Chromium (npm/test/)",
        needs: &[Need::Server, Need::Sdk, Need::DebianClients, Need::Chromium, Need::Runtimes],
        run: |suites, log| suites.node(&suites.root.join("npm"), "test", log),
    },
    Suite {
        name: "docs",
        about: "every command, program and page that README.md and docs/ show (tests/docs/)",
        needs: &[Need::Server, Need::Sdk, Need::DebianClients, Need::Chromium],
        run: Suites::documents,
    },
    Suite {
        name: "package",
        about: "the Debian package: installed, started as its unit says, upgraded, removed (where root and dpkg are)",
        needs: &[Need::Server, Need::Sdk],
        run: |suites, log| dist::install_test(&suites.root, suites.server.as_deref(), log),
    },
];

/// Run the tests, all suites or those that are named
#[derive(Debug, clap::Args)]
#[command(after_help = after_help())]
pub(crate) struct Args {
    /// The suites to run [default: all]
    #[arg(value_name = "SUITE", value_parser = known_suite)]
    suites: Vec<String>,
    /// Only tests with one of these in their name
    #[arg(last = true, value_name = "NAME")]
    names: Vec<String>,
}

fn after_help() -> String {
    let suites = crate::list(SUITES.iter().map(|suite| (suite.name, suite.about)));
    format!(
        "\
Installs missing tools first: the wasm32 target, packages of npm and Python, and cargo-nextest. Debian's chromium,
mosquitto, mosquitto-clients and libpaho-mqtt-dev need apt-get and root; without them a message names them.
The summary at the end repeats the first failure.

Suites:\n{suites}
Environment of the suites, where it is not to be prepared here:
  THNG_PUBSUB_CHROMIUM     a Chromium instead of Debian's
  THNG_PUBSUB_TEST_URL, THNG_PUBSUB_TEST_MQTT (host:port), THNG_PUBSUB_TEST_KEY (the operator's)
                           a server that runs already, for the suites of Node.js
tests/README.md has the other variables.

Examples:
  cargo xtask test
  cargo xtask test rust
  cargo xtask test rust blackbox -- properties"
    )
}

/// Checks the name of a suite on the command line.
fn known_suite(name: &str) -> Result<String, String> {
    if SUITES.iter().any(|suite| suite.name == name) {
        return Ok(name.to_owned());
    }
    let known: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
    Err(format!(
        "the suites are {}. Names of tests come after `--`: `cargo xtask test rust -- {name}`",
        known.join(", ")
    ))
}

/// Runs the command.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let chosen = chosen(&args);
    let mut session = Session::new();
    let mut suites = Suites { root: setup::root(), filters: args.names, ..Suites::default() };
    suites.fetch_ahead(&chosen);
    for suite in chosen {
        let missing = suite.needs.iter().copied().filter(|need| !suites.is_prepared(*need, &mut session));
        match missing.last() {
            Some(need) => session.skip(suite.name, need.name()),
            None => drop(session.step(suite.name, suite.about, |log| (suite.run)(&suites, log))),
        }
    }
    session.finish()
}

/// The suites that are named, all where none is.
fn chosen(args: &Args) -> Vec<&'static Suite> {
    let is_chosen =
        |suite: &&Suite| args.suites.is_empty() || args.suites.iter().any(|name| name == suite.name);
    SUITES.iter().filter(is_chosen).collect()
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Sdk => "sdk-build",
            Self::DebianClients => "debian-clients",
            Self::PythonClients => "python-clients",
            Self::Chromium => "chromium",
            Self::Runtimes => "runtimes",
        }
    }
}

/// What was prepared for the suites.
#[derive(Default)]
struct Suites {
    root: PathBuf,
    /// Only tests with one of these in their name.
    filters: Vec<String>,
    server: Option<PathBuf>,
    tarball: Option<PathBuf>,
    python: Option<PathBuf>,
    chromium: Option<PathBuf>,
    /// What was tried, and whether it is there.
    prepared: Vec<(Need, bool)>,
    /// Installs npm packages while suites run that need none.
    ahead: Option<JoinHandle<()>>,
}

impl Suites {
    /// Starts to install the npm packages that the chosen suites need.
    fn fetch_ahead(&mut self, chosen: &[&Suite]) {
        let needs = |need| chosen.iter().any(|suite| suite.needs.contains(&need));
        let folders = [
            ("npm", needs(Need::Server) || needs(Need::Sdk)),
            ("npm/test/runtimes", needs(Need::Runtimes)),
            ("tests/js", chosen.iter().any(|suite| suite.name == "clients")),
        ];
        let needed = folders.iter().filter(|(_, is_needed)| *is_needed);
        let folders = needed.map(|(folder, _)| self.root.join(folder)).collect();
        self.ahead = Some(setup::npm_packages_ahead(folders));
    }

    /// Whether a need is there; prepares it the first time.
    fn is_prepared(&mut self, need: Need, session: &mut Session) -> bool {
        if let Some((_, there)) = self.prepared.iter().find(|(prepared, _)| *prepared == need) {
            return *there;
        }
        if let Some(ahead) = self.ahead.take() {
            if !ahead.is_finished() {
                eprintln!("    waiting for npm, which installs packages in the background");
            }
            // A panic there was printed; what is missing is installed now.
            let _ = ahead.join();
        }
        if need == Need::Server {
            // The server carries the SDK in its binary, so that must be built before; without it, it still serves.
            self.is_prepared(Need::Sdk, session);
        }
        let there = self.prepare(need, session);
        self.prepared.push((need, there));
        there
    }

    /// Prepares one need as a step of its own. Returns whether it is there.
    fn prepare(&mut self, need: Need, session: &mut Session) -> bool {
        let root = self.root.clone();
        let name = need.name();
        match need {
            Need::Server => {
                let build = |log: &mut Log| server::build(&root, Profile::Release, log);
                self.server = session.step(name, "the release build of the server", build);
                self.server.is_some()
            }
            Need::Sdk => {
                self.tarball = session.step(name, "the SDK for wasm32, packed", |log| build_sdk(&root, log));
                self.tarball.is_some()
            }
            Need::DebianClients => {
                let install = |log: &mut Log| {
                    setup::debian(&[setup::MOSQUITTO, setup::MOSQUITTO_CLIENTS, setup::PAHO_C], log)
                };
                session.step(name, "Debian's Mosquitto clients and Paho's C library", install).is_some()
            }
            Need::PythonClients => {
                let list = root.join("tests/python/requirements.txt");
                let install = |log: &mut Log| setup::python_packages(&root, &list, "paho-python", log);
                let programs = session.step(name, "PyPI's paho-mqtt", install);
                self.python = programs.map(|programs| programs.join("python"));
                self.python.is_some()
            }
            Need::Chromium => {
                self.chromium =
                    session.step(name, "Debian's Chromium, or that of one's own", setup::chromium);
                self.chromium.is_some()
            }
            Need::Runtimes => {
                let install = |log: &mut Log| setup::runtimes(&root, log);
                session.step(name, "other versions of Node.js, and workerd", install).is_some()
            }
        }
    }

    /// How a suite finds what it tests.
    fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        let known = [
            ("THNG_PUBSUB_SERVER", self.server.clone()),
            ("THNG_PUBSUB_TARBALL", self.tarball.clone()),
            ("THNG_PUBSUB_PAHO_PYTHON", self.python.clone()),
            (setup::CHROMIUM_VARIABLE, self.chromium.clone()),
        ];
        known.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Runs Rust tests of the chosen packages, so many at once, or as many as there are cores.
    fn rust(&self, packages: &[&str], at_once: Option<usize>, log: &mut Log) -> anyhow::Result<()> {
        let runner = setup::test_runner(&self.root, log);
        let mut cargo = setup::cargo(&self.root);
        cargo.envs(self.variables());
        match runner {
            TestRunner::Nextest => {
                cargo.args(["nextest", "run", "--locked"]).args(packages).args(&self.filters)
            }
            // In one process, tests that put load on a server would disturb all others.
            TestRunner::CargoTest => cargo
                .args(["test", "--locked", "--no-fail-fast"])
                .args(packages)
                .args(["--", "--test-threads=1"])
                .args(&self.filters),
        };
        if runner == TestRunner::Nextest {
            cargo.args(["--profile", if is_ci() { "ci" } else { "default" }]);
            cargo.args(at_once.map(|count| format!("--test-threads={count}")));
        }
        stream(&mut cargo, log)?;
        if runner == TestRunner::Nextest && self.filters.is_empty() {
            // nextest leaves the examples in the documentation to cargo.
            let mut doc = setup::cargo(&self.root);
            stream(doc.args(["test", "--locked", "--doc"]).args(packages), log)?;
        }
        Ok(())
    }

    /// Runs schemathesis against a server of its own: with a fixed seed, so that every run sends the same.
    fn openapi(&self, log: &mut Log) -> anyhow::Result<()> {
        let folder = self.root.join("tests/openapi");
        let programs =
            setup::python_packages(&self.root, &folder.join("requirements.txt"), "openapi-python", log)?;
        let data = tempfile::tempdir()?;
        let binary = self.server.as_deref().expect("the suite needs the server");
        let flags = ["--http", "127.0.0.1:0", "--mqtt", "off", "--log", "error"].map(str::to_owned);
        let running = Running::start(binary, &data.path().join("data"), &flags)?;
        let url = format!("http://{}", running.http);
        let mut schemathesis = Command::new(programs.join("schemathesis"));
        schemathesis.current_dir(&self.root).env("PYTHONDONTWRITEBYTECODE", "1");
        schemathesis.env("THNG_PUBSUB_TEST_URL", &url).env("THNG_PUBSUB_TEST_KEY", &running.operator_key);
        schemathesis.arg("--config-file").arg(folder.join("schemathesis.toml")).arg("run");
        schemathesis.arg(format!("{url}/openapi.json")).arg("--no-color");
        stream(&mut schemathesis, log)?;
        running.stop().context("after the suite")
    }

    /// Runs what the documents show. Each block has a time of its own in there, each document a server; filters are parts
    /// of the documents' paths.
    fn documents(&self, log: &mut Log) -> anyhow::Result<()> {
        setup::node()?;
        setup::npm_packages(&self.root.join("npm"), log)?;
        let mut node = Command::new("node");
        node.current_dir(&self.root).envs(self.variables());
        node.env("THNG_PUBSUB_DOCUMENTS", self.filters.join(","));
        node.args(["--test", "--test-reporter=spec"]);
        node.args(node_takes("--test-force-exit").then_some("--test-force-exit"));
        stream(node.args(test_files(&self.root.join("tests/docs"))?), log)
    }

    /// Runs the `*.test.*` files below `folder/below` with `node --test`, against a server of their own.
    fn node(&self, folder: &Path, below: &str, log: &mut Log) -> anyhow::Result<()> {
        setup::node()?;
        setup::npm_packages(folder, log)?;
        let files = test_files(&folder.join(below))?;
        if files.is_empty() {
            bail!("there is no *.test.mjs, *.test.cjs or *.test.js below {}", folder.join(below).display());
        }
        let data = tempfile::tempdir()?;
        let binary = self.server.as_deref().expect("the suite needs the server");
        let listeners = server::ALL_LISTENERS.map(str::to_owned);
        let running = Running::start(binary, &data.path().join("data"), &listeners)?;
        let mut node = Command::new("node");
        node.current_dir(folder).envs(self.variables());
        node.env("THNG_PUBSUB_TEST_URL", format!("http://{}", running.http));
        node.env("THNG_PUBSUB_TEST_MQTT", &running.mqtt);
        node.env("THNG_PUBSUB_TEST_HTTPS", &running.https);
        node.env("THNG_PUBSUB_TEST_MQTTS", &running.mqtts);
        node.env("THNG_PUBSUB_TEST_KEY", &running.operator_key);
        node.args(["--test", "--test-reporter=spec", ONE_FILE_AT_A_TIME]);
        node.arg(format!("--test-timeout={NODE_TEST_LIMIT_MS}"));
        // A browser that died may leave a handle behind that keeps its test's process for ever.
        node.args(node_takes("--test-force-exit").then_some("--test-force-exit"));
        node.args(self.filters.iter().map(|filter| format!("--test-name-pattern={filter}")));
        stream(node.args(files), log)?;
        running.stop().context("after the suite")
    }
}

/// Whether this version of Node.js knows an option.
fn node_takes(option: &str) -> bool {
    let asked = Command::new("node").args([option, "--version"]).output();
    asked.is_ok_and(|answer| answer.status.success())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Whether this is an unattended run, which reports all failures and not only the first.
fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Builds the SDK, packs it, and builds the examples with it.
fn build_sdk(root: &Path, log: &mut Log) -> anyhow::Result<PathBuf> {
    setup::node()?;
    setup::wasm_target(root, log)?;
    setup::npm_packages(&root.join("npm"), log)?;
    let tarball = npm::build(root)?;
    npm::build_examples(root, &tarball, log)?;
    Ok(tarball)
}

/// All `*.test.{js,mjs,cjs}` below a folder, in order of their names; what npm has installed is left out.
fn test_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "node_modules" {
            files.extend(test_files(&path)?);
        } else if [".test.js", ".test.mjs", ".test.cjs"].iter().any(|end| name.ends_with(end)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(line: &str) -> (Vec<&'static str>, Vec<String>) {
        let args: Args = crate::parse(line).unwrap();
        (super::chosen(&args).iter().map(|suite| suite.name).collect(), args.names)
    }

    #[test]
    fn without_a_name_every_suite_runs() {
        assert_eq!(chosen("").0.len(), SUITES.len());
    }

    #[test]
    fn suites_are_chosen_by_name_and_filters_follow_two_dashes() {
        assert_eq!(chosen("sdk rust"), (vec!["rust", "sdk"], vec![]));
        assert_eq!(chosen("rust -- topic::"), (vec!["rust"], vec!["topic::".to_owned()]));
    }

    #[test]
    fn an_unknown_suite_is_answered_with_the_known_ones() {
        let error = crate::parse::<Args>("topic").unwrap_err().to_string();
        assert!(error.contains("blackbox") && error.contains("rust -- topic"), "{error}");
    }

    #[test]
    fn both_runners_of_node_tests_run_one_file_at_a_time() {
        assert!(include_str!("../../tests/js/with-server.mjs").contains(&format!("'{ONE_FILE_AT_A_TIME}'")));
    }

    #[test]
    fn test_files_are_found_below_but_not_in_node_modules() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a.test.mjs", "deep/b.test.cjs", "deep/helper.mjs", "node_modules/c/c.test.js"] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = test_files(folder.path()).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.strip_prefix(folder.path()).unwrap()).collect();
        assert_eq!(names, [Path::new("a.test.mjs"), Path::new("deep/b.test.cjs")]);
    }
}
