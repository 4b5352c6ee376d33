//! `docs/security.md` is true as far as a test can say: it lists every bug class, and the tests that it names are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn the_page_lists_23_bug_classes_and_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read =
        |path: &Path| fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let page = read(Path::new("docs/security.md"));
    let (classes, sockets) = page.split_once("\n## WebSocket\n").expect("both tables");
    let rows = |part: &str| -> Vec<Vec<String>> {
        let cells =
            |row: &str| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        part.lines().filter(|line| line.starts_with("| ")).skip(1).map(cells).collect()
    };
    let (classes, sockets) = (rows(classes), rows(sockets));
    let numbers: BTreeSet<u32> = classes.iter().map(|row| row[0].parse().expect("a number")).collect();
    assert!(numbers.into_iter().eq(1..=23), "every class is there");

    for row in classes.iter().chain(&sockets) {
        let cell = row.last().expect("a cell");
        let tests: Vec<_> = cell.split('`').filter_map(|text| text.split_once("::")).collect();
        assert!(!tests.is_empty(), "no test in {row:?}");
        for (file, name) in tests {
            let path = if file.contains('/') { file.into() } else { Path::new("tests/tests").join(file) };
            assert!(read(&path).contains(&format!("fn {name}(")), "{name} in {file}, which the page names");
        }
    }
}
