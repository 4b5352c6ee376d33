//! `cargo xtask dist --install-test`: shows that the Debian package installs, that what it installs serves, and that
//! it goes again.
//!
//! Called by `dist`. dpkg installs the package into a folder that is a root of its own (`chroot.rs`), and runs
//! its scripts there, so that this machine does not change. There is no systemd in it. systemd's own tool checks
//! the unit where it is installed, and the test starts the unit's command as the unit's user. In place of `systemctl`
//! a program records how the scripts call it.
//!
//! That needs root and dpkg; where one is missing, the test says so and is not run.

mod chroot;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use self::chroot::{Account, Root};
use super::deb::{NAME, SETTINGS, UNIT};
use crate::server;
use crate::setup;
use crate::step::{Log, announce};

/// How long the server may take to be ready, and then to answer.
const LIMIT: Duration = Duration::from_secs(60);

/// The service's data, below the root.
const DATA: &str = "var/lib/thng-pubsub";

/// The program, below the root.
const PROGRAM: &str = "usr/bin/thng-pubsub-server";

/// Whom something that was installed belongs to.
#[derive(Debug, Clone, Copy)]
enum Owner {
    Root,
    /// Root, with the service's group, which may read it.
    RootForService,
    Service,
}

/// Where something is after the installation, with its permissions and its owner.
const PLACES: [(&str, u32, Owner); 9] = [
    (PROGRAM, 0o755, Owner::Root),
    (UNIT, 0o644, Owner::Root),
    ("etc/thng-pubsub", 0o750, Owner::RootForService),
    (SETTINGS, 0o640, Owner::RootForService),
    (DATA, 0o700, Owner::Service),
    ("usr/share/bash-completion/completions/thng-pubsub-server", 0o644, Owner::Root),
    ("usr/share/zsh/vendor-completions/_thng-pubsub-server", 0o644, Owner::Root),
    ("usr/share/fish/vendor_completions.d/thng-pubsub-server.fish", 0o644, Owner::Root),
    ("usr/share/doc/thng-pubsub/copyright", 0o644, Owner::Root),
];

/// Runs the test on a package; what it needs for the time being is below `scratch`.
///
/// # Errors
/// Something is not as it should be.
pub(super) fn test(package: &Path, scratch: &Path, log: &mut Log) -> anyhow::Result<()> {
    if let Some(why) = chroot::impossible() {
        log.note(why);
        return Ok(());
    }
    let folder = tempfile::Builder::new().prefix("install-test-").tempdir_in(scratch)?;
    let root = Root::make(&folder.path().join("root"))?;
    announce(&format!("installing {} into a folder of its own", package.display()));
    root.dpkg("--install", package, log)?;
    let account = root.account(NAME).context("after the installation")?;
    check_places(&root, account)?;
    check_records(&root)?;
    check_unit(&root, log)?;
    announce("starting what the unit starts");
    let key = serve(&root, account)?;
    announce("installing it once more, as an upgrade does");
    upgrade(&root, package, &key, log)?;
    announce("removing it, and then everything of it");
    remove(&root, log)
}

/// Everything is there, and belongs to whom it should.
fn check_places(root: &Root, account: Account) -> anyhow::Result<()> {
    for (place, mode, owner) in PLACES {
        let is = root.join(place).metadata().with_context(|| format!("/{place} was not installed"))?;
        let (uid, gid) = match owner {
            Owner::Root => (0, 0),
            Owner::RootForService => (0, account.gid),
            Owner::Service => (account.uid, account.gid),
        };
        ensure!(
            (is.mode() & 0o7777, is.uid(), is.gid()) == (mode, uid, gid),
            "/{place} should have mode {mode:o} and owner {uid}:{gid}, but has {:o} and {}:{}",
            is.mode() & 0o7777,
            is.uid(),
            is.gid()
        );
    }
    let manual = root.join("usr/share/man");
    let sections = std::fs::read_dir(&manual).into_iter().flatten().flatten();
    let mut pages = sections.filter_map(|section| std::fs::read_dir(section.path()).ok()).flatten().flatten();
    ensure!(
        pages.any(|page| page.file_name().to_string_lossy().starts_with("thng-pubsub-server.")),
        "no page of the manual was installed"
    );
    Ok(())
}

/// dpkg knows the settings as the administrator's, and has unpacked what it was given.
fn check_records(root: &Root) -> anyhow::Result<()> {
    let conffiles = root.dpkg_query("${Conffiles}")?;
    ensure!(
        conffiles.split_whitespace().any(|word| word == format!("/{SETTINGS}")),
        "dpkg should know /{SETTINGS} as a conffile, but knows `{conffiles}`"
    );
    let differs = root.dpkg_verify()?;
    ensure!(differs.is_empty(), "dpkg finds files that are not as in the package:\n{differs}");
    Ok(())
}

/// systemd understands the unit, and would shut the service in well.
fn check_unit(root: &Root, log: &mut Log) -> anyhow::Result<()> {
    if !setup::has_program("systemd-analyze") {
        log.note("the unit was not looked at: there is no systemd-analyze");
        return Ok(());
    }
    let unit = root.join(UNIT);
    // `verify` looks for the programs of the unit on this machine, where they are not: they are named as they lie here.
    let folder = unit.parent().context("a unit is in a folder")?.join("verified");
    std::fs::create_dir_all(&folder)?;
    let copy = folder.join("thng-pubsub.service");
    let text = std::fs::read_to_string(&unit)?;
    let program = root.join(PROGRAM);
    std::fs::write(&copy, text.replace(&format!("/{PROGRAM}"), &program.display().to_string()))?;
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&copy).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let about_it: Vec<&str> = said.lines().filter(|line| line.contains("thng-pubsub")).collect();
    ensure!(output.status.success() && about_it.is_empty(), "systemd-analyze verify:\n{said}");
    check_exposure(&copy)?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// systemd's own measure of what a unit leaves open, from 0 to 100: from 50 on it calls a service exposed. The network
/// that the service is for, and its one capability, are most of what is left.
fn check_exposure(unit: &Path) -> anyhow::Result<()> {
    let analyze = || Command::new("systemd-analyze");
    let help = analyze().arg("--help").output()?.stdout;
    if !String::from_utf8_lossy(&help).contains("--offline") {
        // Before version 250 it looked at units that are loaded only.
        return Ok(());
    }
    let output =
        analyze().args(["security", "--offline=yes", "--no-pager", "--threshold=20"]).arg(unit).output()?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the unit leaves too much open:\n{said}");
    Ok(())
}

/// Runs what the unit runs, as its user, with the installed settings but on free ports; asks it how it is, and stops it.
/// Returns the operator's key, which the first start has made.
fn serve(root: &Root, account: Account) -> anyhow::Result<String> {
    root.bring_libraries(&root.join(PROGRAM))?;
    let unit = std::fs::read_to_string(root.join(UNIT))?;
    let mut command = root.command(account, exec_start(&unit)?);
    command.args(["--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut server = Server(command.spawn().context("chroot cannot be started")?);
    let ready = server.first_line()?;
    let address = http_address(&ready).with_context(|| format!("the server is not ready: `{ready}`"))?;
    // The program with SDK and examples inside, and not one that was built without them.
    for path in ["/health", "/ready", "/sdk/thng-pubsub.js", "/examples/app/"] {
        let status = status(address, path).with_context(|| format!("asking http://{address}{path}"))?;
        ensure!(status.contains(" 200 "), "{path} should answer 200, but answers `{status}`");
    }
    let ended = server::end(&mut server.0)?;
    ensure!(
        ended.code() == Some(0),
        "after SIGTERM the server should end with code 0, but ended with {ended}"
    );

    let key = root.join(DATA).join("operator.key");
    let is = key.metadata().context("the server should have made the operator's key in its data")?;
    ensure!(is.uid() == account.uid && is.mode() & 0o077 == 0, "the operator's key can be read by others");
    Ok(std::fs::read_to_string(key)?)
}

/// A server that is ended with this value, so that a failed check leaves none behind.
#[derive(Debug)]
struct Server(Child);

impl Server {
    /// The first line of its standard output, which is its `ready` line.
    fn first_line(&mut self) -> anyhow::Result<String> {
        let output = self.0.stdout.take().context("standard output is piped")?;
        let (sender, line) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            if BufReader::new(output).read_line(&mut line).is_ok_and(|read| read > 0) {
                let _ = sender.send(line);
            }
        });
        line.recv_timeout(LIMIT).context("the server did not say that it is ready; its log above says why")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = server::end(&mut self.0);
    }
}

/// The program and arguments that a unit starts.
fn exec_start(unit: &str) -> anyhow::Result<Vec<&str>> {
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart="));
    Ok(line.context("the unit has no ExecStart=")?.split_whitespace().collect())
}

/// Where a `ready` line says that HTTP is served.
fn http_address(ready: &str) -> Option<&str> {
    ready.strip_prefix("ready ")?.split_whitespace().find_map(|word| word.strip_prefix("http="))
}

/// The first line of what is answered to a `GET`.
fn status(address: &str, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let first = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(first).into_owned())
}

/// What the administrator and the server have written is kept, and a service that runs is restarted.
fn upgrade(root: &Root, package: &Path, key: &str, log: &mut Log) -> anyhow::Result<()> {
    let settings = root.join(SETTINGS);
    let theirs = std::fs::read_to_string(&settings)? + "# the administrator was here\n";
    std::fs::write(&settings, &theirs)?;
    root.pretend_systemd()?;
    root.dpkg("--install", package, log)?;
    ensure!(
        std::fs::read_to_string(&settings)? == theirs,
        "an upgrade replaced the administrator's settings"
    );
    ensure!(
        std::fs::read_to_string(root.join(DATA).join("operator.key"))? == *key,
        "an upgrade changed the data"
    );
    let told = root.systemctl_calls()?;
    ensure!(
        told == ["daemon-reload", "try-restart thng-pubsub.service"],
        "an upgrade should restart a service that runs, but tells systemd {told:?}"
    );
    Ok(())
}

/// Removing keeps what the administrator and the server have written; purging does not.
fn remove(root: &Root, log: &mut Log) -> anyhow::Result<()> {
    root.dpkg("--remove", Path::new(NAME), log)?;
    let told = root.systemctl_calls()?;
    ensure!(
        told.first().is_some_and(|first| first == "disable --now thng-pubsub.service"),
        "removing should stop the service, but tells systemd {told:?}"
    );
    expect(root, &[(PROGRAM, false), (UNIT, false), (SETTINGS, true), (DATA, true)], "after removing")?;
    root.dpkg("--purge", Path::new(NAME), log)?;
    expect(root, &[(SETTINGS, false), ("etc/thng-pubsub", false), (DATA, false)], "after purging")
}

/// What should be there is, and what should not is not.
fn expect(root: &Root, places: &[(&str, bool)], when: &str) -> anyhow::Result<()> {
    for (place, wanted) in places {
        let is_there = root.join(place).exists();
        if is_there != *wanted {
            bail!("{when}, /{place} should {}be there", if *wanted { "still " } else { "not " });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_unit_starts_is_read_from_it() {
        let unit = "[Service]\nExecStart=/usr/bin/server serve --config /etc/server.toml\nRestart=no\n";
        assert_eq!(exec_start(unit).unwrap(), ["/usr/bin/server", "serve", "--config", "/etc/server.toml"]);
        assert!(exec_start("[Service]\n").is_err());
    }

    #[test]
    fn the_ready_line_says_where_http_is_served() {
        assert_eq!(http_address("ready http=127.0.0.1:1 mqtt=127.0.0.1:2\n"), Some("127.0.0.1:1"));
        assert_eq!(http_address("ready mqtt=127.0.0.1:2\n"), None);
        assert_eq!(http_address("error: http=127.0.0.1:1"), None);
    }
}
