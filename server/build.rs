//! Puts the SDK and the example pages into the binary: writes a table of (path, bytes) for `edge/assets.rs`.
//!
//! The SDK is built before (`cargo xtask npm`). Where it was not, the server still builds, and says so to whoever asks
//! for it.

use std::{env, fmt::Write as _, fs, path::Path};

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace");
    let mut table = String::from("&[\n");
    for (url, file) in [
        ("/sdk/thng-pubsub.js", "npm/dist/pubsub.js"),
        ("/sdk/thng-pubsub.js.map", "npm/dist/pubsub.js.map"),
        ("/sdk/evrythng.js", "npm/dist/evrythng.js"),
        ("/sdk/evrythng.LICENSE.txt", "npm/dist/evrythng.LICENSE.txt"),
    ] {
        add(&mut table, url, &root.join(file));
    }
    let examples = root.join("examples-web");
    println!("cargo::rerun-if-changed={}", examples.display());
    add_folder(&mut table, "/examples", &examples);
    table.push(']');
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("assets.rs"), table).expect("OUT_DIR can be written");
}

fn add(table: &mut String, url: &str, file: &Path) {
    println!("cargo::rerun-if-changed={}", file.display());
    if file.is_file() {
        let _ = writeln!(table, "({url:?}, include_bytes!({:?}).as_slice()),", file.display().to_string());
    }
}

fn add_folder(table: &mut String, url: &str, folder: &Path) {
    let mut entries: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "node_modules" {
            continue;
        }
        let url = format!("{url}/{name}");
        if path.is_dir() { add_folder(table, &url, &path) } else { add(table, &url, &path) }
    }
}
