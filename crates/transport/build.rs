//! Puts the SDK and the examples into the binary: writes a table of (path, bytes) for `assets.rs`.
//!
//! The SDK (`cargo xtask npm`) and what the examples load from npm (`examples-web/build.mjs`) are built before. Where
//! they were not, the server still builds, and says so to clients that ask for them.

use std::{env, fmt::Write as _, fs, path::Path};

/// What of `examples-web/` is served as it lies there. The rest of it is what `dist/`, which is built, is made from.
const EXAMPLES: [&str; 11] = [
    "index.css",
    "index.html",
    "index.js",
    "java/PubSub.java",
    "node",
    "page.js",
    "paho",
    "sdk",
    "shell",
    "style.css",
    "websocket",
];

/// What of `npm/dist/` is served, and as what. Each has a companion `.gz`, which is sent to clients that accept it.
const SDK: [(&str, &str); 8] = [
    ("thng-pubsub.js", "pubsub.js"),
    ("thng-pubsub.mjs", "served.mjs"),
    ("thng-pubsub.slim.mjs", "served.slim.mjs"),
    ("thng-pubsub.wasm", "pubsub.wasm"),
    ("evrythng.js", "evrythng.js"),
    ("evrythng.LICENSE.txt", "evrythng.LICENSE.txt"),
    ("mqttws31.js", "mqttws31.js"),
    ("mqttws31.LICENSE.txt", "mqttws31.LICENSE.txt"),
];

fn main() {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies in the workspace");
    let mut table = String::from("&[\n");
    for (name, file) in SDK {
        for ending in ["", ".gz"] {
            add(&mut table, &format!("/sdk/{name}{ending}"), &root.join(format!("npm/dist/{file}{ending}")));
        }
    }
    let examples = root.join("examples-web");
    for name in EXAMPLES {
        add(&mut table, &format!("/examples/{name}"), &examples.join(name));
    }
    let built = examples.join("dist");
    add(&mut table, "/examples", &built);
    if !built.join("app/index.html").is_file() {
        add(&mut table, "/examples/app/index.html", &examples.join("not-built.html"));
    }
    table.push(']');
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("assets.rs"), table).expect("OUT_DIR can be written");
    println!("cargo::rustc-env=THNG_PUBSUB_SDK_VERSION={}", sdk_version(&root.join("npm/package.json")));
}

/// The version in npm's manifest: its first line that has one, as npm itself writes it.
fn sdk_version(manifest: &Path) -> String {
    println!("cargo::rerun-if-changed={}", manifest.display());
    let text = fs::read_to_string(manifest).expect("npm/package.json is part of the sources");
    let version = text.lines().find_map(|line| line.trim().strip_prefix("\"version\": \"")?.split_once('"'));
    version.expect("npm/package.json has a version").0.to_owned()
}

/// Adds a file, or all files below a folder. What is not there is not served, until it is there and this runs again.
fn add(table: &mut String, url: &str, path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
    if path.is_file() {
        let _ = writeln!(table, "({url:?}, include_bytes!({:?}).as_slice()),", path.display().to_string());
    }
    let mut names: Vec<_> =
        fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    for name in names.iter().filter_map(|name| name.to_str()).filter(|name| !name.starts_with('.')) {
        add(table, &format!("{url}/{name}"), &path.join(name));
    }
}
