//! Prints one line for each scenario, for people. A program reads the JSON document instead.

use crate::scenario::{Figures, Measurement, beside, writes};

/// The line of one measurement, with a warning where something went missing.
pub fn line(measured: &Measurement) -> String {
    let name = &measured.scenario;
    match &measured.figures {
        Figures::Connections(figures) => {
            let memory = unit(figures.kib_per_connection, " KiB each");
            let cpu = unit(figures.cpu_us_per_connect, " us CPU each");
            let (count, rate) = (figures.connections, thousands(figures.connects_per_s));
            format!("{name:20} {rate:>10} connects/s{cpu}{memory}, {count} open at the end")
        }
        Figures::Flow(figures) => {
            let rate = thousands(figures.deliveries_per_s);
            let cpu = unit(figures.cpu_us_per_delivery, " us CPU each");
            let acknowledged = match figures.acknowledged_per_s {
                Some(rate) => format!(", {} PUBACK/s", thousands(rate)),
                None => String::new(),
            };
            let busy = match figures.broker_cpus {
                Some(broker) => format!("; broker {broker:.2} CPUs, generator {:.2}", figures.generator_cpus),
                None => format!("; generator {:.2} CPUs", figures.generator_cpus),
            };
            let missing = missing(figures.lost, figures.surplus, figures.expected);
            format!("{name:20} {rate:>10} deliveries/s{cpu}{acknowledged}{busy}{missing}")
        }
        Figures::Isolated(figures) => {
            let cpu = unit(figures.cpu_us_per_delivery, " us CPU each");
            let missing = missing(figures.lost, figures.surplus, figures.expected);
            let (receivers, p50, max) = (figures.receivers, figures.p50_ms, figures.max_ms);
            let generator = figures.generator_us_per_delivery;
            format!(
                "{name:20} all {receivers} have it after p50 {p50:.2} ms, max {max:.2} ms{cpu}; generator {generator:.2} us each{missing}"
            )
        }
        Figures::Writes(figures) => {
            let missing = missing(figures.lost, figures.surplus, figures.sent);
            let (rate, closed) = (thousands(figures.publishes_per_s), costs(figures.closed));
            let (p50, p99, max) = (figures.p50_ms, figures.p99_ms, figures.max_ms);
            let (per_s, steady) = (figures.per_s, costs(figures.steady));
            format!(
                "{name:20} {rate:>10} PUBACK/s{closed}; at {per_s}/s p50 {p50:.3} ms, p99 {p99:.3} ms, max {max:.3} ms{steady}{missing}"
            )
        }
        Figures::Latency(figures) => {
            let cpu = unit(figures.cpu_us_per_message, " us CPU each");
            let missing = missing(figures.lost, figures.surplus, figures.sent);
            let (p50, p99, max) = (figures.p50_ms, figures.p99_ms, figures.max_ms);
            let late = figures.late_p99_ms;
            format!(
                "{name:20} p50 {p50:.3} ms, p99 {p99:.3} ms, max {max:.3} ms{cpu}; sent late by {late:.3} ms (p99){missing}"
            )
        }
        Figures::HalfOpen(figures) => {
            let missing = missing(figures.lost, figures.surplus, figures.sent);
            let before = format!("p50 {:.3} ms, p99 {:.3} ms", figures.before_p50_ms, figures.before_p99_ms);
            let (p50, p99, max) = (figures.p50_ms, figures.p99_ms, figures.max_ms);
            let halves =
                format!("{} begun in {:.0} ms, {} left", figures.begun, figures.begun_in_ms, figures.left);
            let late = figures.late_p99_ms;
            format!(
                "{name:20} before {before}; meanwhile p50 {p50:.3} ms, p99 {p99:.3} ms, max {max:.3} ms; {halves}; sent late by {late:.3} ms (p99){missing}"
            )
        }
        Figures::Beside(figures) => {
            let missing = missing(figures.lost, figures.surplus, figures.sent);
            let [alone, backup, export] = [&figures.alone, &figures.backup, &figures.export].map(phases);
            let (by_backup, by_export) = (figures.backup_ratio, figures.export_ratio);
            format!(
                "{name:20} alone {alone}; beside a backup {backup} ({by_backup:.2} x); beside an export {export} ({by_export:.2} x){missing}"
            )
        }
    }
}

fn costs(costs: Option<writes::Costs>) -> String {
    let text = |writes::Costs { cpu_us_per_publish: cpu, disk_bytes_per_publish: bytes }| {
        format!(", {cpu:.2} us CPU and {} bytes on disk each", thousands(bytes))
    };
    costs.map_or_else(String::new, text)
}

/// p99 with its spread over the phases, and the slowest write of all.
fn phases(phases: &beside::Phases) -> String {
    let beside::Phases { p99_ms, p99_min_ms, p99_max_ms, max_ms, late_max_ms, seconds } = phases;
    format!(
        "p99 {p99_ms:.2} ({p99_min_ms:.2} to {p99_max_ms:.2}) ms, max {max_ms:.1} ms (sent late by {late_max_ms:.1} ms) in {seconds:.1} s"
    )
}

fn unit(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(String::new, |value| format!(", {value:.2}{unit}"))
}

fn missing(lost: u64, surplus: u64, expected: u64) -> String {
    let mut text = String::new();
    if lost > 0 {
        text += &format!("; LOST {lost} of {expected}");
    }
    if surplus > 0 {
        text += &format!("; {surplus} MORE than were sent");
    }
    text
}

/// `1234567.8` as `1,234,568`.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{flow, halfopen, latency};

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0.2, 999.0, 1000.0, 1_234_567.8].map(thousands), ["0", "999", "1,000", "1,234,568"]);
    }

    #[test]
    fn loss_is_shouted() {
        let figures = flow::Figures {
            window: 100,
            deliveries_per_s: 1500.0,
            publishes_per_s: 15.0,
            acknowledged_per_s: Some(15.0),
            cpu_us_per_delivery: Some(0.5),
            broker_cpus: Some(1.0),
            generator_cpus: 0.25,
            sent: 10,
            expected: 100,
            received: 93,
            lost: 7,
            surplus: 0,
        };
        let measured = Measurement { scenario: "fanout-10-qos1".to_owned(), figures: Figures::Flow(figures) };
        let line = line(&measured);
        for part in ["1,500 deliveries/s, 0.50 us CPU each, 15 PUBACK/s", "LOST 7 of 100"] {
            assert!(line.contains(part), "{line}");
        }
    }

    #[test]
    fn a_complete_run_says_nothing_of_loss() {
        let figures = latency::Figures {
            per_s: 1000,
            p50_ms: 0.1,
            p99_ms: 0.2,
            max_ms: 0.3,
            late_p99_ms: 0.01,
            cpu_us_per_message: None,
            sent: 5,
            lost: 0,
            surplus: 0,
        };
        let measured =
            Measurement { scenario: "latency-1000".to_owned(), figures: Figures::Latency(figures) };
        let line = line(&measured);
        assert!(line.contains("p99 0.200 ms") && !line.contains("LOST") && !line.contains("CPU"), "{line}");
    }

    #[test]
    fn figures_from_before_and_meanwhile_are_separate() {
        let figures = halfopen::Figures {
            per_s: 1000,
            before_p50_ms: 0.1,
            before_p99_ms: 0.2,
            p50_ms: 0.3,
            p99_ms: 0.4,
            max_ms: 0.5,
            late_p99_ms: 0.01,
            begun: 1000,
            begun_in_ms: 20.0,
            left: 998,
            sent: 5,
            lost: 1,
            surplus: 0,
        };
        let figures = Figures::HalfOpen(figures);
        let line = line(&Measurement { scenario: "halfopen-1000".to_owned(), figures });
        for part in [
            "before p50 0.100 ms, p99 0.200 ms",
            "meanwhile p50 0.300 ms, p99 0.400 ms",
            "998 left",
            "LOST 1 of 5",
        ] {
            assert!(line.contains(part), "{line}");
        }
    }
}
