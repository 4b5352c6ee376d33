//! Puts in place what a fresh machine lacks: the wasm32 target, npm packages, Debian packages, cargo-nextest.
//!
//! Called by every command before it does its own work. Each function looks first and is silent where nothing is
//! missing. What cannot be installed from here (Rust, Node.js, packages without the right to install them) ends in
//! an error that says what to type.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context, bail};

use crate::step::{Log, announce, stream};

/// The target that the SDK is compiled to.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// The oldest Node.js that builds and tests the SDK and the examples, whose Vite asks for it.
const NODE_MIN: (u32, u32) = (20, 19);

/// The checkout that `cargo xtask` was called in.
pub(crate) fn root() -> PathBuf {
    // The variable of the running cargo comes first: a build cache may hold a binary of another checkout.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here).parent().expect("xtask is a folder of the workspace").to_owned()
}

/// The cargo that started us, so that a toolchain chosen with `cargo +name` stays chosen.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    cargo
}

/// Where cargo puts what it has built: `target`, or what `CARGO_TARGET_DIR` says.
pub(crate) fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

/// Makes sure that the standard library for wasm32 is there.
///
/// # Errors
/// It is missing and rustup cannot add it.
pub(crate) fn wasm_target(root: &Path, log: &mut Log) -> anyhow::Result<()> {
    let printed = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", WASM_TARGET])
        .current_dir(root)
        .output()
        .context("rustc is not installed; install Rust from https://rustup.rs")?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&printed.stdout).trim());
    if printed.status.success() && has_rlib(&libraries) {
        return Ok(());
    }
    announce(&format!("adding the Rust target {WASM_TARGET}"));
    stream(Command::new("rustup").args(["target", "add", WASM_TARGET]).current_dir(root), log).with_context(
        || format!("install the standard library for {WASM_TARGET}, for instance by `rustup target add {WASM_TARGET}`"),
    )
}

fn has_rlib(libraries: &Path) -> bool {
    let entries = std::fs::read_dir(libraries).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|end| end == "rlib"))
}

/// Makes sure that Node.js is there and recent enough.
///
/// # Errors
/// It is not; nothing is installed, because how it comes to a machine is its owner's choice.
pub(crate) fn node() -> anyhow::Result<()> {
    let (major, minor) = NODE_MIN;
    let wanted = format!("Node.js {major}.{minor} or newer with npm is needed (https://nodejs.org)");
    let printed = Command::new("node").arg("--version").output().with_context(|| wanted.clone())?;
    let version = String::from_utf8_lossy(&printed.stdout).trim().to_owned();
    if node_version(&version).is_none_or(|version| version < NODE_MIN) {
        bail!("{wanted}; this is {version}");
    }
    if !has_program("npm") {
        bail!("{wanted}; npm is missing");
    }
    Ok(())
}

/// `v20.20.2` is (20, 20).
fn node_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix('v')?.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Installs the npm packages of a folder, exactly as its `package-lock.json` names them, unless that very lock file
/// was installed before.
///
/// # Errors
/// The folder has no `package-lock.json`, or `npm ci` fails.
pub(crate) fn npm_packages(folder: &Path, log: &mut Log) -> anyhow::Result<()> {
    let Some(lock) = missing_packages(folder)? else { return Ok(()) };
    announce(&format!("installing the npm packages of {}", folder.display()));
    stream(&mut npm_ci(folder), log)?;
    record_packages(folder, &lock)
}

/// Installs the npm packages of folders in the background, without output, so that the download costs no time of its own.
/// A failure is left to [`npm_packages`], which tries again and reports it.
pub(crate) fn npm_packages_ahead(folders: Vec<PathBuf>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for folder in folders {
            let Ok(Some(lock)) = missing_packages(&folder) else { continue };
            let mut npm = npm_ci(&folder);
            npm.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if npm.status().is_ok_and(|status| status.success()) {
                // Without the record, they are installed again.
                let _ = record_packages(&folder, &lock);
            }
        }
    })
}

/// The lock file of a folder, if its packages are not installed.
fn missing_packages(folder: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    let lock_file = folder.join("package-lock.json");
    let lock = std::fs::read(&lock_file).with_context(|| format!("cannot read {}", lock_file.display()))?;
    let is_installed = std::fs::read(installed_lock(folder)).is_ok_and(|before| before == lock);
    Ok((!is_installed).then_some(lock))
}

fn npm_ci(folder: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(folder);
    npm
}

/// Records which lock file the installed packages are from.
fn record_packages(folder: &Path, lock: &[u8]) -> anyhow::Result<()> {
    let installed = installed_lock(folder);
    std::fs::create_dir_all(folder.join("node_modules"))?;
    std::fs::write(&installed, lock).with_context(|| format!("cannot write {}", installed.display()))
}

fn installed_lock(folder: &Path) -> PathBuf {
    folder.join("node_modules/.installed-package-lock.json")
}

/// Installs the programs in which the tests of the SDK run it: the versions of Node.js that it is for, and workerd. They
/// are packages of npm, some hundred megabytes. On a machine that they are not made for, npm leaves them out, and the
/// tests are skipped.
///
/// # Errors
/// There is no Node.js with npm, or `npm ci` fails.
pub(crate) fn runtimes(root: &Path, log: &mut Log) -> anyhow::Result<()> {
    node()?;
    npm_packages(&root.join("npm/test/runtimes"), log)
}

/// Installs Python packages exactly as a list pins them, unless that very list was installed before. Returns the folder
/// of their programs, which is below the target folder.
///
/// # Errors
/// There is no Python with venv and pip, or a package cannot be had.
pub(crate) fn python_packages(
    root: &Path,
    list: &Path,
    name: &str,
    log: &mut Log,
) -> anyhow::Result<PathBuf> {
    let folder = target_dir(root).join(name);
    let (programs, installed) = (folder.join("bin"), folder.join("installed.txt"));
    let wanted = std::fs::read(list).with_context(|| format!("cannot read {}", list.display()))?;
    if std::fs::read(&installed).is_ok_and(|before| before == wanted) {
        return Ok(programs);
    }
    debian(&[PYTHON], log)?;
    announce(&format!("installing the Python packages of {}", list.display()));
    stream(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder), log)
        .context("Python 3 with venv is needed; on Debian it is the package python3-venv")?;
    let pip = ["install", "--quiet", "--disable-pip-version-check", "--requirement"];
    stream(Command::new(programs.join("pip")).args(pip).arg(list), log)?;
    std::fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(programs)
}

/// A package that comes from Debian, and what is there when it is installed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Debian {
    package: &'static str,
    brings: Brings,
}

#[derive(Debug, Clone, Copy)]
enum Brings {
    Program(&'static str),
    /// A header file of a C library, by its name.
    Header(&'static str),
}

const CHROMIUM: Debian = Debian { package: "chromium", brings: Brings::Program("chromium") };
pub(crate) const MOSQUITTO: Debian = Debian { package: "mosquitto", brings: Brings::Program("mosquitto") };
pub(crate) const WRK: Debian = Debian { package: "wrk", brings: Brings::Program("wrk") };
const PYTHON: Debian = Debian { package: "python3-venv", brings: Brings::Program("python3") };
pub(crate) const MOSQUITTO_CLIENTS: Debian =
    Debian { package: "mosquitto-clients", brings: Brings::Program("mosquitto_sub") };
pub(crate) const PAHO_C: Debian =
    Debian { package: "libpaho-mqtt-dev", brings: Brings::Header("MQTTClient.h") };

impl Debian {
    fn is_there(self) -> bool {
        match self.brings {
            Brings::Program(name) => has_program(name),
            Brings::Header(name) => has_header(name),
        }
    }
}

impl Display for Brings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (Brings::Program(name) | Brings::Header(name)) = self;
        f.write_str(name)
    }
}

/// Makes sure that these packages are there: installs them with `apt-get` where they are missing and we are root.
///
/// # Errors
/// They are missing and may not be installed from here; the message says what to type.
pub(crate) fn debian(wanted: &[Debian], log: &mut Log) -> anyhow::Result<()> {
    let missing: Vec<Debian> = wanted.iter().copied().filter(|one| !one.is_there()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|one| one.package).collect();
    let names = packages.join(" ");
    if !has_program("apt-get") {
        bail!("please install {names}: the tests drive them, and this machine has no apt-get to do it with");
    }
    if !rustix::process::geteuid().is_root() {
        bail!(
            "please run `sudo apt-get install {names}`: the tests drive them, and only root may install them"
        );
    }
    announce(&format!("installing {names} with apt-get"));
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        command
    };
    stream(&mut apt_get(&["update"]), log)?;
    stream(apt_get(&["install", "--yes", "--no-install-recommends"]).args(&packages), log)?;
    // Debian's broker is a service that some systems start on installation; ours and the bench use their own ports.
    match missing.iter().find(|one| !one.is_there()) {
        Some(still) => bail!("{} was installed but there is no `{}`", still.package, still.brings),
        None => Ok(()),
    }
}

/// Names a Chromium of one's own.
pub(crate) const CHROMIUM_VARIABLE: &str = "THNG_PUBSUB_CHROMIUM";

/// Where Chromium is: where the environment says, or else Debian's, which is installed where it is missing.
///
/// # Errors
/// There is none, and it may not be installed from here.
pub(crate) fn chromium(log: &mut Log) -> anyhow::Result<PathBuf> {
    if let Some(own) = std::env::var_os(CHROMIUM_VARIABLE).map(PathBuf::from) {
        let is_there = own.is_file();
        return if is_there { Ok(own) } else { bail!("{CHROMIUM_VARIABLE}={} is no file", own.display()) };
    }
    debian(&[CHROMIUM], log)?;
    program("chromium").context("chromium was installed but is not in PATH")
}

/// Whether the C compiler finds a header file of this name.
fn has_header(name: &str) -> bool {
    let mut cc = Command::new("cc");
    cc.args(["-E", "-x", "c", "-include", name, "/dev/null"]).stdout(Stdio::null()).stderr(Stdio::null());
    cc.status().is_ok_and(|status| status.success())
}

/// Whether a program of this name is in `PATH`, or where Debian keeps its daemons.
pub(crate) fn has_program(name: &str) -> bool {
    program(name).is_some()
}

/// Where a program of this name is.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let folders = std::env::split_paths(&path).chain(daemons);
    folders.map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

/// The program that runs the Rust tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TestRunner {
    /// `cargo nextest run`: each test in its own process, hung tests are stopped.
    Nextest,
    /// `cargo test`, where nextest is not installed and cannot be.
    CargoTest,
}

/// Finds cargo-nextest, or installs it from source, which takes some minutes once.
pub(crate) fn test_runner(root: &Path, log: &mut Log) -> TestRunner {
    let quiet = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if quiet(cargo(root).args(["nextest", "--version"])) {
        return TestRunner::Nextest;
    }
    announce("installing cargo-nextest (once, some minutes)");
    match stream(cargo(root).args(["install", "cargo-nextest", "--locked"]), log) {
        Ok(()) => TestRunner::Nextest,
        Err(error) => {
            announce(&format!(
                "going on with `cargo test`, because cargo-nextest cannot be installed: {error:#}"
            ));
            TestRunner::CargoTest
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_missing_until_their_lock_file_was_installed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(missing_packages(folder.path()).is_err(), "without a lock file");
        std::fs::write(folder.path().join("package-lock.json"), "{}").unwrap();
        let lock = missing_packages(folder.path()).unwrap().expect("nothing is installed");
        record_packages(folder.path(), &lock).unwrap();
        assert_eq!(missing_packages(folder.path()).unwrap(), None);
        std::fs::write(folder.path().join("package-lock.json"), "[]").unwrap();
        assert!(missing_packages(folder.path()).unwrap().is_some(), "the lock file has changed");
    }

    #[test]
    fn the_version_of_node_is_read() {
        assert_eq!(node_version("v20.20.2"), Some((20, 20)));
        assert_eq!(node_version("v8.0"), Some((8, 0)));
        assert_eq!(node_version("20.1.1"), None);
    }

    #[test]
    fn a_program_is_found_by_its_name_only_if_it_exists() {
        assert!(has_program("sh"));
        assert!(!has_program("no-such-program-anywhere"));
    }

    #[test]
    fn a_header_is_found_by_its_name_only_if_the_compiler_finds_it() {
        assert!(has_header("stdio.h"));
        assert!(!has_header("no-such-header-anywhere.h"));
    }

    #[test]
    fn the_root_is_the_checkout() {
        assert!(root().join("Cargo.lock").is_file());
    }

    #[test]
    fn a_folder_without_lock_file_is_refused_before_npm_runs() {
        let folder = tempfile::tempdir().unwrap();
        let error = npm_packages(folder.path(), &mut Log::default()).unwrap_err();
        assert!(error.to_string().contains("package-lock.json"), "{error}");
    }

    #[test]
    fn packages_of_an_unchanged_lock_file_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("node_modules")).unwrap();
        for path in ["package-lock.json", "node_modules/.installed-package-lock.json"] {
            std::fs::write(folder.path().join(path), "{}").unwrap();
        }
        // Without package.json `npm ci` would fail.
        npm_packages(folder.path(), &mut Log::default()).unwrap();
    }
}
