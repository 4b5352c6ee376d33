//! The statements that the MQTT standard has, and the sections of the page about them.

use std::collections::BTreeSet;

use super::statements::Statements;

/// The sections of the page: the title, and how the numbers in it begin.
pub(super) const SECTIONS: [(&str, &[&str]); 11] = [
    ("1 Data", &["1."]),
    ("2 The parts of a packet", &["2."]),
    ("3.1 CONNECT", &["3.1."]),
    ("3.2 CONNACK", &["3.2."]),
    ("3.3 PUBLISH", &["3.3.", "3.6."]),
    ("3.8 SUBSCRIBE, 3.9 SUBACK", &["3.8.", "3.9."]),
    ("3.10 UNSUBSCRIBE, 3.12 PINGREQ, 3.14 DISCONNECT", &["3.10.", "3.12.", "3.14."]),
    ("4 Operation", &["4."]),
    ("6 WebSocket", &["6."]),
    ("7 Conformance", &["7."]),
    ("MQTT 3.1 where it differs", &["3.1-"]),
];

/// How many statements each section of MQTT 3.1.1 has, by its appendix B: 141 together. MQTT 3.1 has none; its
/// row counts ours.
const STATEMENTS: [(&str, usize); 40] = [
    ("3.1", 9),
    ("1.5.3", 3),
    ("2.2.2", 2),
    ("2.3.1", 7),
    ("3.1.0", 2),
    ("3.1.2", 24),
    ("3.1.3", 11),
    ("3.1.4", 5),
    ("3.2.0", 1),
    ("3.2.2", 6),
    ("3.3.1", 12),
    ("3.3.2", 3),
    ("3.3.4", 1),
    ("3.3.5", 2),
    ("3.6.1", 1),
    ("3.8.1", 1),
    ("3.8.3", 4),
    ("3.8.4", 6),
    ("3.9.3", 2),
    ("3.10.1", 1),
    ("3.10.3", 2),
    ("3.10.4", 6),
    ("3.12.4", 1),
    ("3.14.1", 1),
    ("3.14.4", 3),
    ("4.1.0", 2),
    ("4.3.1", 1),
    ("4.3.2", 2),
    ("4.3.3", 2),
    ("4.4.0", 1),
    ("4.5.0", 2),
    ("4.6.0", 6),
    ("4.7.1", 3),
    ("4.7.2", 1),
    ("4.7.3", 4),
    ("4.8.0", 2),
    ("6.0.0", 4),
    ("7.0.0", 2),
    ("7.1.1", 1),
    ("7.1.2", 1),
];

/// One line for each statement of the standard that no documentation has, and for each number that it does not have.
pub(super) fn faults(statements: &Statements) -> Vec<String> {
    let numbers = STATEMENTS
        .iter()
        .flat_map(|(section, highest)| (1..=*highest).map(move |number| format!("{section}-{number}")));
    let standard: BTreeSet<String> = numbers.collect();
    let read: BTreeSet<String> = statements.keys().map(|number| number.0.clone()).collect();
    let missing = standard.difference(&read).map(|number| format!("no test says MQTT-{number}"));
    missing
        .chain(read.difference(&standard).map(|number| format!("the standard has no MQTT-{number}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::statements::read;
    use super::*;
    use crate::setup;
    use crate::tidy::{sources, tests::source};

    #[test]
    fn every_statement_of_the_standard_is_at_a_test() {
        let statements = read(&sources(&setup::root()).unwrap()).unwrap();
        assert_eq!(faults(&statements), [""; 0]);
    }

    #[test]
    fn a_missing_and_an_unknown_number_are_faults() {
        let text = "/// MQTT-9.9.9-1: Text.\n#[test]\nfn a() {}\n";
        let faults = faults(&read(&[source("tests/it/mqtt.rs", text)]).unwrap());
        assert_eq!(faults.len(), 151);
        assert_eq!(faults.last().map(String::as_str), Some("the standard has no MQTT-9.9.9-1"));
    }

    #[test]
    fn every_statement_is_in_one_section() {
        for (section, _) in STATEMENTS {
            let number = format!("{section}-1");
            let is_in = |prefixes: &[&str]| prefixes.iter().any(|prefix| number.starts_with(prefix));
            assert_eq!(SECTIONS.iter().filter(|(_, prefixes)| is_in(prefixes)).count(), 1, "{number}");
        }
    }
}
