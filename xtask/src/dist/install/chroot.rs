//! A folder that is a root of its own: for a package to be installed into and run from, with nothing of this machine
//! to change.
//!
//! Called by `install`. It holds copies of the few programs that the package's scripts call, with their libraries. It
//! also has an empty list of users, and dpkg's records of our dependencies. It is deleted with its folder.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::super::deb::NAME;
use crate::setup;
use crate::step::{Log, stream};

/// What the scripts call, and the shell of the service's user.
const PROGRAMS: [&str; 9] =
    ["chmod", "chown", "getent", "install", "nologin", "rm", "rmdir", "sh", "useradd"];

/// What is called on this machine.
const TOOLS: [&str; 4] = ["chroot", "dpkg", "dpkg-query", "ldd"];

/// The packages that ours depends on, whose programs and libraries are copied.
const DEPENDENCIES: [&str; 2] = ["libc6", "passwd"];

/// Where programs are looked for inside, and the tools of dpkg outside.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Where the replacement of `systemctl` records its calls.
const CALLS: &str = "run/systemctl-calls";

/// Why the test cannot be run on this machine, if it cannot.
pub(super) fn impossible() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        Some("not run: only root can install a package")
    } else if !TOOLS.iter().chain(&PROGRAMS).all(|name| setup::has_program(name)) {
        Some("not run: dpkg or a program that the package's scripts call is missing")
    } else {
        None
    }
}

/// A user inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The root.
#[derive(Debug)]
pub(super) struct Root(PathBuf);

impl Root {
    /// Makes one in a folder that is not there yet.
    ///
    /// # Errors
    /// Something cannot be copied, or this machine does not have the packages that ours depends on.
    pub(super) fn make(folder: &Path) -> anyhow::Result<Self> {
        let root = Self(folder.to_owned());
        for name in ["bin", "lib", "lib64", "sbin"] {
            fs::create_dir_all(root.join("usr").join(name))?;
            symlink(Path::new("usr").join(name), root.join(name))?;
        }
        for name in ["dev", "etc", "run", "tmp", "var/lib/dpkg/info", "var/lib/dpkg/updates"] {
            fs::create_dir_all(root.join(name))?;
        }
        // The programs inside do not run as root, and need access whatever our umask is.
        for (path, mode) in [("", 0o755), ("tmp", 0o1777)] {
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode))?;
        }
        for (name, text) in [
            ("passwd", "root:x:0:0::/:/bin/sh\n"),
            ("group", "root:x:0:\n"),
            ("shadow", "root:*:19000:0:99999:7:::\n"),
            ("gshadow", "root:*::\n"),
        ] {
            fs::write(root.join("etc").join(name), text)?;
        }
        // Without it, useradd would give out other numbers than on a real machine.
        fs::copy("/etc/login.defs", root.join("etc/login.defs")).context("cannot copy /etc/login.defs")?;
        for name in PROGRAMS {
            let program = setup::program(name).with_context(|| format!("there is no {name}"))?;
            root.bring(&program)?;
            root.bring_libraries(&program)?;
        }
        fs::write(root.join("var/lib/dpkg/status"), ask_dpkg(&["--status"])?)?;
        // Without lists of their files dpkg warns each time that it has none.
        let names = ask_dpkg(&["--show", "--showformat", "${binary:Package}\n"])?;
        for name in names.lines() {
            fs::write(root.join("var/lib/dpkg/info").join(format!("{name}.list")), "/.\n")?;
        }
        Ok(root)
    }

    /// What is at a place in there; `place` has no slash before it.
    pub(super) fn join(&self, place: impl AsRef<Path>) -> PathBuf {
        self.0.join(place)
    }

    /// Copies a file to where it is on this machine.
    fn bring(&self, file: &Path) -> anyhow::Result<()> {
        let place = self.join(file.strip_prefix("/").unwrap_or(file));
        let folder = place.parent().context("a file is in a folder")?;
        let copied = fs::create_dir_all(folder).and_then(|()| fs::copy(file, &place));
        copied.with_context(|| format!("cannot copy {} to {}", file.display(), place.display()))?;
        Ok(())
    }

    /// Copies the libraries that a program needs.
    ///
    /// # Errors
    /// One is not on this machine.
    pub(super) fn bring_libraries(&self, program: &Path) -> anyhow::Result<()> {
        let output =
            Command::new("ldd").arg(program).env("LC_ALL", "C").output().context("cannot run ldd")?;
        let text = String::from_utf8_lossy(&output.stdout);
        for library in
            libraries(&text).with_context(|| format!("{} cannot be run here", program.display()))?
        {
            self.bring(library)?;
        }
        Ok(())
    }

    /// Lets dpkg do something with a package in there: a file, or a name.
    ///
    /// # Errors
    /// dpkg fails, or one of the package's scripts.
    pub(super) fn dpkg(&self, action: &str, package: &Path, log: &mut Log) -> anyhow::Result<()> {
        let mut dpkg = Command::new("dpkg");
        dpkg.arg(format!("--root={}", self.0.display())).arg(action).arg(package);
        stream(dpkg.env("PATH", PATH).env("DEBIAN_FRONTEND", "noninteractive"), log)
    }

    /// A field of what dpkg has noted about our package.
    ///
    /// # Errors
    /// It has noted nothing.
    pub(super) fn dpkg_query(&self, field: &str) -> anyhow::Result<String> {
        let admin = format!("--admindir={}", self.join("var/lib/dpkg").display());
        let output =
            Command::new("dpkg-query").arg(admin).args(["--show", "--showformat", field, NAME]).output()?;
        if !output.status.success() {
            bail!("dpkg does not know {NAME} after the installation");
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What of our package is not as it was unpacked.
    ///
    /// # Errors
    /// dpkg cannot be started.
    pub(super) fn dpkg_verify(&self) -> anyhow::Result<String> {
        let root = format!("--root={}", self.0.display());
        let output = Command::new("dpkg").arg(root).args(["--verify", NAME]).env("PATH", PATH).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A user in there.
    ///
    /// # Errors
    /// There is none of this name.
    pub(super) fn account(&self, name: &str) -> anyhow::Result<Account> {
        let users = fs::read_to_string(self.join("etc/passwd"))?;
        account(&users, name).with_context(|| format!("there is no user {name}"))
    }

    /// A command that runs in there as a user, with nothing of this machine's environment.
    pub(super) fn command(&self, account: Account, words: Vec<&str>) -> Command {
        let Account { uid, gid } = account;
        let mut command = Command::new("chroot");
        command
            .arg(format!("--userspec={uid}:{gid}"))
            .arg(format!("--groups={gid}"))
            .arg(&self.0)
            .args(words);
        // `chroot` itself is found by our own variable, before the command has another one.
        command.env_clear().env("PATH", PATH);
        command
    }

    /// From now on scripts find a systemd that runs, and a `systemctl` that only writes down how it is called.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn pretend_systemd(&self) -> anyhow::Result<()> {
        fs::create_dir_all(self.join("run/systemd/system"))?;
        let systemctl = self.join("usr/bin/systemctl");
        fs::write(&systemctl, format!("#!/bin/sh\necho \"$*\" >>/{CALLS}\n"))?;
        fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// How `systemctl` was called since this was asked last.
    ///
    /// # Errors
    /// It was not called.
    pub(super) fn systemctl_calls(&self) -> anyhow::Result<Vec<String>> {
        let text =
            fs::read_to_string(self.join(CALLS)).context("the package's scripts did not call systemctl")?;
        fs::remove_file(self.join(CALLS))?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// What dpkg knows on this machine of the packages that ours depends on.
fn ask_dpkg(words: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("dpkg-query").args(words).args(DEPENDENCIES).output()?;
    if !output.status.success() {
        bail!("{} are not all installed on this machine", DEPENDENCIES.join(" and "));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The files in what `ldd` prints. A program without any is fine.
///
/// # Errors
/// One was not found.
fn libraries(printed: &str) -> anyhow::Result<Vec<&Path>> {
    if let Some(missing) = printed.lines().find(|line| line.contains("not found")) {
        bail!("missing library: {}", missing.trim());
    }
    let words = printed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(words.map(Path::new).collect())
}

fn account(users: &str, name: &str) -> Option<Account> {
    let mut fields = users
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
    Some(Account { uid: fields.nth(1)?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_prints() {
        let printed = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let found = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(Path::new);
        assert_eq!(libraries(printed).unwrap(), found);
        assert!(libraries("\tlibssl.so.3 => not found\n").unwrap_err().to_string().contains("libssl"));
        assert!(libraries("\tstatically linked\n").unwrap().is_empty());
    }

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let users =
            "root:x:0:0::/:/bin/sh\nthng-pubsub-x:x:7:8::/:/bin/sh\nthng-pubsub:x:999:998::/:/bin/sh\n";
        assert_eq!(account(users, "thng-pubsub"), Some(Account { uid: 999, gid: 998 }));
        assert_eq!(account(users, "thng"), None);
    }
}
