//! The Debian package: the place of each file, the dependencies, and the scripts around its installation.
//!
//! Called by `dist`. The texts are in `packaging/`, as they are installed. Debian's tools are not needed, so that every
//! machine can build the package; `cargo xtask dist --install-test` then shows that dpkg accepts it.
//!
//! cargo-deb makes an equal package, but takes files from disk, while most of ours come from the program that was just
//! built. It asks dpkg-shlibdeps for the least glibc, which `elf` reads without Debian's tools. It would replace the
//! fifteen lines of `ar` in `archive`, and a new machine would compile 69 crates for it.

use std::path::Path;

use anyhow::{Context, bail};

use super::archive::{self, FILE, PRIVATE, PROGRAM, Tree};
use super::texts::Texts;

/// The name of the package, of its service and of the service's user.
pub(super) const NAME: &str = "thng-pubsub";

/// Where the settings are, below the root.
pub(super) const SETTINGS: &str = "etc/thng-pubsub/thng-pubsub.toml";

/// What the service's settings are made of, in the checkout.
pub(super) const SERVICE_SETTINGS: &str = "packaging/thng-pubsub.toml";

/// Where the service's unit is, below the root.
pub(super) const UNIT: &str = "usr/lib/systemd/system/thng-pubsub.service";

/// What a package is made of.
#[derive(Debug)]
pub(super) struct Contents<'a> {
    pub(super) version: &'a str,
    pub(super) program: &'a [u8],
    /// The glibc that the program needs, such as `2.34`.
    pub(super) glibc: &'a str,
    pub(super) texts: &'a Texts,
    /// The licenses of the contents.
    pub(super) third_party: &'a str,
}

/// The package as bytes.
///
/// # Errors
/// A file of `packaging/` cannot be read.
pub(super) fn package(root: &Path, contents: &Contents<'_>, date: u64) -> anyhow::Result<Vec<u8>> {
    let data = files(root, contents)?;
    let debian = root.join("packaging/debian");
    let mut control = Tree::default();
    let fields = Fields {
        version: &upstream_version(contents.version),
        architecture: architecture()?,
        size: data.kib(),
        glibc: contents.glibc,
    };
    control.add("control", FILE, fields.fill(&read(&debian.join("control"))?));
    // The administrator's: an upgrade asks before it replaces them.
    control.add("conffiles", FILE, format!("/{SETTINGS}\n"));
    for script in ["postinst", "prerm", "postrm"] {
        control.add(script, PROGRAM, read(&debian.join(script))?);
    }
    let (control, data) = (control.tar_gz("./", date)?, data.tar_gz("./", date)?);
    let members: [(&str, &[u8]); 3] =
        [("debian-binary", b"2.0\n"), ("control.tar.gz", &control), ("data.tar.gz", &data)];
    Ok(archive::ar(&members, date))
}

/// The name of the package's file.
///
/// # Errors
/// Debian has no name for this machine's architecture that is known here.
pub(super) fn file_name(version: &str) -> anyhow::Result<String> {
    Ok(format!("{NAME}_{}_{}.deb", upstream_version(version), architecture()?))
}

/// Everything that is installed.
fn files(root: &Path, contents: &Contents<'_>) -> anyhow::Result<Tree> {
    let (texts, packaging) = (contents.texts, root.join("packaging"));
    let doc = format!("usr/share/doc/{NAME}");
    let mut tree = Tree::default();
    tree.add("usr/bin/thng-pubsub-server", PROGRAM, contents.program);
    tree.add(UNIT, FILE, read(&packaging.join("thng-pubsub.service"))?);
    tree.add(SETTINGS, PRIVATE, texts.service_settings.as_str());
    let section = texts.section();
    let man = format!("usr/share/man/man{section}/thng-pubsub-server.{section}.gz");
    tree.add(man, FILE, archive::gz(texts.man.as_bytes()));
    tree.add("usr/share/bash-completion/completions/thng-pubsub-server", FILE, texts.bash.as_str());
    tree.add("usr/share/zsh/vendor-completions/_thng-pubsub-server", FILE, texts.zsh.as_str());
    tree.add("usr/share/fish/vendor_completions.d/thng-pubsub-server.fish", FILE, texts.fish.as_str());
    tree.add(format!("{doc}/copyright"), FILE, read(&packaging.join("debian/copyright"))?);
    tree.add(format!("{doc}/changelog.gz"), FILE, archive::gz(read(&root.join("CHANGELOG.md"))?.as_bytes()));
    tree.add(format!("{doc}/third-party.txt.gz"), FILE, archive::gz(contents.third_party.as_bytes()));
    tree.add(format!("{doc}/README.md"), FILE, read(&root.join("README.md"))?);
    Ok(tree)
}

/// What the control file leaves open.
#[derive(Debug)]
struct Fields<'a> {
    version: &'a str,
    architecture: &'a str,
    size: usize,
    glibc: &'a str,
}

impl Fields<'_> {
    fn fill(&self, control: &str) -> String {
        control
            .replace("{version}", self.version)
            .replace("{architecture}", self.architecture)
            .replace("{size}", &self.size.to_string())
            .replace("{glibc}", self.glibc)
    }
}

/// A version in Debian's order, in which `1.0.0-rc.1` would come after `1.0.0`, and `1.0.0~rc.1` comes before.
fn upstream_version(version: &str) -> String {
    version.replacen('-', "~", 1)
}

/// Debian's name for what this machine, and so the program, is.
fn architecture() -> anyhow::Result<&'static str> {
    Ok(match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "riscv64" => "riscv64",
        "s390x" => "s390x",
        "loongarch64" => "loong64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64el",
        other => bail!("what Debian calls {other} is not known; add it to xtask/src/dist/deb.rs"),
    })
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(name: &str) -> String {
        read(&crate::setup::root().join("packaging").join(name)).unwrap()
    }

    #[test]
    fn the_control_file_has_every_required_field() {
        let fields = Fields { version: "1.2.3", architecture: "amd64", size: 4567, glibc: "2.34" };
        let control = fields.fill(&template("debian/control"));
        for line in [
            "Package: thng-pubsub",
            "Version: 1.2.3",
            "Architecture: amd64",
            "Installed-Size: 4567",
            "Depends: libc6 (>= 2.34), passwd",
        ] {
            assert!(control.lines().any(|one| one == line), "{line} is missing in {control}");
        }
        assert!(control.contains("\nMaintainer: ") && control.contains("\nDescription: "));
        assert!(!control.contains('{'), "{control}");
    }

    #[test]
    fn what_comes_before_a_version_sorts_before_it() {
        assert_eq!(upstream_version("1.0.0-rc.1"), "1.0.0~rc.1");
        assert_eq!(upstream_version("1.0.0"), "1.0.0");
    }

    #[test]
    fn unit_scripts_and_settings_speak_of_the_same_places() {
        let unit = template("thng-pubsub.service");
        assert!(
            unit.contains(&format!("ExecStart=/usr/bin/thng-pubsub-server serve --config /{SETTINGS}\n"))
        );
        assert!(
            unit.contains(&format!("User={NAME}\n")) && unit.contains(&format!("StateDirectory={NAME}\n"))
        );
        assert!(template("debian/postinst").contains(&format!("user={NAME}\ndata=/var/lib/{NAME}\n")));
        assert!(template("debian/postrm").contains(&format!("rm -rf /var/lib/{NAME} ")));
        assert!(template("thng-pubsub.toml").contains(&format!("data = \"/var/lib/{NAME}\"\n")));
    }

    #[test]
    fn the_service_is_bounded_in_memory_and_threads() {
        let unit = template("thng-pubsub.service");
        let page = read(&crate::setup::root().join("docs/operations.md")).unwrap();
        for setting in ["MemoryMax=", "TasksMax="] {
            let line = unit.lines().find(|line| line.starts_with(setting)).unwrap();
            assert!(page.contains(&format!("`{line}`")), "docs/operations.md has {line}");
        }
    }

    #[test]
    fn every_image_of_the_dockerfile_is_pinned_by_its_digest() {
        let file = template("Dockerfile");
        let images = file.lines().filter_map(|line| line.strip_prefix("FROM ${")?.split_once('}'));
        let names: Vec<_> = images.map(|(name, _)| format!("ARG {name}=")).collect();
        assert_eq!(names.len(), file.lines().filter(|line| line.starts_with("FROM ")).count());
        for name in names {
            let image = file.lines().find_map(|line| line.strip_prefix(&name)).unwrap();
            let (_, digest) = image.split_once("@sha256:").unwrap();
            assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{image}");
        }
    }

    #[test]
    fn the_service_is_given_longer_to_stop_than_the_server_takes() {
        let unit = template("thng-pubsub.service");
        let seconds = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
        assert!(seconds.parse::<u32>().unwrap() > 10);
    }
}
