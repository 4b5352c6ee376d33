//! How SQLite goes about every statement of the store: through an index, and never by sorting or reading it all.

use super::{
    super::{export, read, scan, session_queue, values, write},
    Fixture,
};

/// Tables that a statement may read from the start, because it stops at the first rows or there is only one.
const SHORT: [&str; 10] = [
    "SCAN 8-ROW VALUES CLAUSE",
    "SCAN indexed",
    "SCAN log_end",
    "SCAN doomed",
    "SCAN orphaned",
    "SCAN ended_session",
    "SCAN api_key",
    "SCAN account",
    "SCAN session_note",
    "SCAN CONSTANT ROW",
];

#[test]
fn no_statement_reads_a_table_from_end_to_end_or_sorts() {
    let store = Fixture::new();
    let statements: Vec<&str> = read::QUERIES
        .iter()
        .chain(values::QUERIES)
        .chain(scan::QUERIES)
        .chain(session_queue::QUERIES)
        .copied()
        .chain(write::statements())
        .collect();
    assert!(statements.len() > 60);
    for statement in statements {
        for step in plan(&store, statement) {
            let sorts = step.contains("TEMP B-TREE");
            let scans = step.starts_with("SCAN") && !SHORT.iter().any(|short| step.starts_with(short));
            // The rows of a sub-query that is limited itself.
            assert!(!sorts && (!scans || step.starts_with("SCAN (subquery-")), "{statement}\n  {step}");
        }
    }
}

#[test]
fn a_history_page_starts_at_its_cursor_among_equal_timestamps() {
    let store = Fixture::new();
    let histories: Vec<_> = values::QUERIES.iter().filter(|query| query.contains("LIMIT ?5")).collect();
    assert_eq!(histories.len(), 2);
    for query in histories {
        let plan = plan(&store, query);
        let steps: Vec<_> = plan.iter().filter(|step| step.contains("SEARCH at ")).collect();
        assert_eq!(steps.len(), 2, "{plan:?}");
        assert!(steps[0].contains("PRIMARY KEY (series=? AND ts=? AND seq"), "{plan:?}");
        assert!(steps[1].ends_with("PRIMARY KEY (series=? AND ts>? AND ts<?)"), "{plan:?}");
    }
}

#[test]
fn an_export_reads_tables_in_row_order_without_sorting() {
    let store = Fixture::new();
    for query in export::queries() {
        let plan = plan(&store, query);
        assert!(plan.iter().all(|step| !step.contains("TEMP B-TREE")), "{query}\n  {plan:?}");
        assert_eq!(plan.iter().filter(|step| step.starts_with("SCAN")).count(), 1, "{query}\n  {plan:?}");
    }
}

fn plan(store: &Fixture, statement: &str) -> Vec<String> {
    let mut explain = store
        .write
        .connection()
        .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    let mut rows = explain.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().expect("a plan") {
        steps.push(row.get(3).expect("a step in words"));
    }
    steps
}
