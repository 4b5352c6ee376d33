//! Checks that every file of the black-box tests is declared in `tests/it/main.rs`: cargo ignores one that is not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Finding, Source};

/// The root module of the test binary, which declares all modules below it.
const MAIN: &str = "tests/it/main.rs";

/// One finding for each Rust file beside the root module that it does not declare. `main` is that module.
pub(super) fn check(source: &Source, main: Option<&Source>) -> Vec<Finding> {
    let Some(main) = main.filter(|main| main.path != source.path) else { return Vec::new() };
    let folder = Path::new(MAIN).with_file_name("");
    let is_declared = declared(&main.text).contains(&source.path);
    if !source.is_rust() || !source.path.starts_with(folder) || is_declared {
        return Vec::new();
    }
    vec![Finding { line: 1, what: format!("{MAIN} does not declare this module, so its tests do not run") }]
}

/// The root module, where the checkout has it.
pub(super) fn main(sources: &[Source]) -> Option<&Source> {
    sources.iter().find(|source| source.path == Path::new(MAIN))
}

/// The files of all modules that the root module declares, also inside of `mod name { … }`.
fn declared(text: &str) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let mut folder = Path::new(MAIN).with_file_name("");
    for line in text.lines().map(str::trim) {
        let module = line.strip_prefix("mod ");
        if let Some(name) = module.and_then(|rest| rest.strip_suffix(';')) {
            files.insert(folder.join(name).with_extension("rs"));
        } else if let Some(name) = module.and_then(|rest| rest.strip_suffix(" {")) {
            folder.push(name);
        } else if line == "}" {
            folder.pop();
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::super::tests::source;
    use super::*;

    #[test]
    fn a_file_without_a_declaration_is_found() {
        let main = source(MAIN, "//! Head.\n\nmod a;\n\nmod b {\n    mod c;\n}\n\nmod d;\n");
        let findings = |path| check(&source(path, ""), Some(&main)).len();
        for path in
            ["tests/it/a.rs", "tests/it/b/c.rs", "tests/it/d.rs", MAIN, "tests/src/e.rs", "tests/it/b/c.txt"]
        {
            assert_eq!(findings(path), 0, "{path}");
        }
        for path in ["tests/it/c.rs", "tests/it/b/a.rs", "tests/it/b/d.rs", "tests/it/b.rs"] {
            assert_eq!(findings(path), 1, "{path}");
        }
    }
}
