//! From results to a Markdown table, and into the page that keeps it.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

use super::brokers::Broker;

/// A part of the page, from one line of it to another; everything between is replaced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    begin: &'static str,
    end: &'static str,
}

/// What MQTT is measured by.
pub(super) const MQTT: Part =
    Part { begin: "<!-- bench:begin, written by `cargo xtask bench --write` -->", end: "<!-- bench:end -->" };

/// What REST is measured by.
pub(super) const REST: Part = Part {
    begin: "<!-- bench-rest:begin, written by `cargo xtask bench rest --write` -->",
    end: "<!-- bench-rest:end -->",
};

/// One scenario with the result of each broker.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) scenario: String,
    pub(super) cells: Vec<Value>,
}

/// The round whose main figure is the median of all rounds.
pub(super) fn median(mut rounds: Vec<Value>) -> Value {
    let main = |result: &Value| {
        let figures = ["deliveries_per_s", "p99_ms", "connects_per_s"];
        figures.iter().find_map(|name| result[*name].as_f64()).unwrap_or_default()
    };
    rounds.sort_by(|a, b| main(a).total_cmp(&main(b)));
    rounds.swap_remove(rounds.len() / 2)
}

/// The table with what must be known to read it.
pub(super) fn document(
    root: &Path,
    brokers: &[Broker],
    rows: &[Row],
    rounds: usize,
    seconds: &str,
) -> anyhow::Result<String> {
    let titles: Vec<String> = brokers.iter().map(|broker| broker.title()).collect();
    let mut text = measured(root)?;
    text += &format!(
        "200-byte payloads; {seconds} s after 1 s of warm-up, each on a freshly started broker; the median of {rounds} \
         round(s), in which the brokers took turns.\n"
    );
    text += "thng-pubsub authorizes and validates each message and has it on disk before it answers; \
             Mosquitto does none of it and runs without limits on its queues.\n\n";
    text += &format!("| case | {} |\n|---|{}\n", titles.join(" | "), "---|".repeat(titles.len()));
    for row in rows {
        for (case, cells) in lines(row) {
            text += &format!("| {case} | {} |\n", cells.join(" | "));
        }
    }
    Ok(text)
}

/// The lines of one scenario: what it is called, and a cell for each broker.
fn lines(row: &Row) -> Vec<(String, Vec<String>)> {
    let each = |cell: fn(&Value) -> String| row.cells.iter().map(cell).collect::<Vec<_>>();
    match row.cells.first().and_then(|first| first["kind"].as_str()) {
        Some("connections") => vec![
            (format!("KiB per idle connection with one subscription, of {}", count(row)), each(memory)),
            ("connects per second, each with one subscription (CPU of one)".to_owned(), each(connects)),
        ],
        Some("latency") => vec![
            (format!("{} messages/s over 100 pairs, QoS 1: p50 / p99 / max", count(row)), each(latency)),
            (format!("CPU of one message at {} messages/s", count(row)), each(message_cpu)),
        ],
        Some("half_open") => vec![(
            format!("the same while {} others stop halfway (before): p50 / p99 / max", count(row)),
            each(half_open),
        )],
        _ => {
            let window =
                row.cells.first().map_or_else(|| "?".to_owned(), |cell| number(cell, "window", thousands));
            let title = flow_title(&row.scenario);
            vec![(format!("{title}, {window} on their way: deliveries per second (CPU of one)"), each(flow))]
        }
    }
}

/// The number in a scenario's name, grouped: `latency-1000` is `1,000`.
fn count(row: &Row) -> String {
    let number = row.scenario.split('-').nth(1).and_then(|count| count.parse().ok()).unwrap_or_default();
    thousands(number)
}

/// `fanout-100-qos1` is `1 to 100, QoS 1`.
fn flow_title(scenario: &str) -> String {
    let mut parts = scenario.split('-');
    let (kind, number, qos) = (parts.next(), parts.next().unwrap_or("?"), parts.next().unwrap_or("?"));
    let number = number.parse().map_or_else(|_| number.to_owned(), thousands);
    let qos = qos.replace("qos", "QoS ");
    match kind {
        Some("fanout") => format!("1 to {number}, {qos}"),
        Some("fanin") => format!("{number} to 1, {qos}"),
        Some("series") => format!("50 to 1 on {number} properties, {qos}"),
        _ => scenario.to_owned(),
    }
}

fn memory(result: &Value) -> String {
    number(result, "kib_per_connection", |kib| format!("{kib:.1}"))
}

fn connects(result: &Value) -> String {
    let rate = number(result, "connects_per_s", thousands);
    format!("{rate} ({})", number(result, "cpu_us_per_connect", microseconds))
}

fn latency(result: &Value) -> String {
    let ms = |name| number(result, name, |ms| format!("{ms:.2}"));
    format!("{} / {} / {} ms{}", ms("p50_ms"), ms("p99_ms"), ms("max_ms"), lost(result, "sent"))
}

fn half_open(result: &Value) -> String {
    let ms = |name| number(result, name, |ms| format!("{ms:.2}"));
    format!("{} ({} / {} ms)", latency(result), ms("before_p50_ms"), ms("before_p99_ms"))
}

fn message_cpu(result: &Value) -> String {
    number(result, "cpu_us_per_message", microseconds)
}

fn flow(result: &Value) -> String {
    let rate = number(result, "deliveries_per_s", thousands);
    let cpu = number(result, "cpu_us_per_delivery", microseconds);
    format!("{rate} ({cpu}){}", lost(result, "expected"))
}

/// What went missing, in words that cannot be overlooked; nothing where nothing did.
fn lost(result: &Value, of: &str) -> String {
    match (result["lost"].as_f64(), result[of].as_f64()) {
        (Some(lost), Some(all)) if lost > 0.0 => format!(", **lost {:.2} %**", lost / all * 100.0),
        _ => String::new(),
    }
}

fn number(result: &Value, name: &str, format: impl Fn(f64) -> String) -> String {
    result[name].as_f64().map_or_else(|| "?".to_owned(), format)
}

fn microseconds(value: f64) -> String {
    if value < 10.0 { format!("{value:.2} us") } else { format!("{value:.0} us") }
}

/// `1234567.8` as `1,234,568`; large numbers to four digits, because no measurement is better than that.
pub(super) fn thousands(value: f64) -> String {
    let scale = 10_f64.powf((value.max(1.0).log10().floor() - 3.0).max(0.0));
    let digits = format!("{:.0}", (value / scale).round() * scale);
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// When, where and at which commit.
pub(super) fn measured(root: &Path) -> anyhow::Result<String> {
    Ok(format!("Measured on {}, at commit {}.\n", machine()?, commit(root)?))
}

/// The machine and the day.
fn machine() -> anyhow::Result<String> {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let model = value("model name").unwrap_or_else(|| "an unknown CPU".to_owned());
    let cores = std::thread::available_parallelism()?;
    let system = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = system.trim().split('-').next().unwrap_or_default().to_owned();
    let date = printed(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    Ok(format!("{date}, {cores} cores ({model}) that broker and load generator share, Linux {release}"))
}

/// The commit, and whether something was changed since.
fn commit(root: &Path) -> anyhow::Result<String> {
    let git = |arguments: &[&str]| printed(Command::new("git").args(arguments).current_dir(root));
    let Ok(commit) = git(&["rev-parse", "--short", "HEAD"]) else {
        return Ok("(none yet)".to_owned());
    };
    let changed = !git(&["status", "--porcelain"])?.is_empty();
    Ok(if changed { format!("{commit} with changes") } else { commit })
}

fn printed(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        bail!("{command:?} failed");
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Puts the text into its part of a page, which is made if there is none.
///
/// # Errors
/// The page cannot be read or written, or has no such part.
pub(super) fn write(file: &Path, part: Part, text: &str) -> anyhow::Result<()> {
    let page = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            format!("# Performance\n\n{}\n{}\n", part.begin, part.end)
        }
        read => read.with_context(|| format!("cannot read {}", file.display()))?,
    };
    let page = replaced(&page, part, text).with_context(|| format!("in {}", file.display()))?;
    std::fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))
}

fn replaced(page: &str, Part { begin, end }: Part, text: &str) -> anyhow::Result<String> {
    let missing = || format!("there must be a line `{begin}` and, below it, a line `{end}`");
    let (before, rest) = page.split_once(begin).with_context(missing)?;
    let (_, after) = rest.split_once(end).with_context(missing)?;
    Ok(format!("{before}{begin}\n\n{}\n\n{end}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_median_round_counts() {
        let rounds = [3.0, 1.0, 2.0].map(|rate| json!({"deliveries_per_s": rate})).to_vec();
        assert_eq!(median(rounds)["deliveries_per_s"], 2.0);
        assert_eq!(median(vec![json!({"p99_ms": 1.0})])["p99_ms"], 1.0);
    }

    #[test]
    fn a_flow_is_one_line_with_its_loss() {
        let result = json!({
            "kind": "flow", "window": 100, "deliveries_per_s": 1_234_567.0, "cpu_us_per_delivery": 0.456, "lost": 5, "expected": 1000,
        });
        let row = Row { scenario: "fanout-1000-qos1".to_owned(), cells: vec![result] };
        let line = lines(&row).remove(0);
        assert_eq!(line.0, "1 to 1,000, QoS 1, 100 on their way: deliveries per second (CPU of one)");
        assert_eq!(line.1, ["1,235,000 (0.46 us), **lost 0.50 %**"]);
    }

    #[test]
    fn connections_and_latency_have_two_lines() {
        let connections =
            json!({"kind": "connections", "connects_per_s": 9000.0, "kib_per_connection": 4.25});
        let row = Row { scenario: "connections-10000".to_owned(), cells: vec![connections] };
        let cells: Vec<String> = lines(&row).into_iter().flat_map(|(_, cells)| cells).collect();
        assert_eq!(cells, ["4.2", "9,000 (?)"]);
        let latency =
            json!({"kind": "latency", "p50_ms": 0.1, "p99_ms": 1.0, "max_ms": 2.0, "lost": 0, "sent": 9});
        let row = Row { scenario: "latency-1000".to_owned(), cells: vec![latency] };
        assert_eq!(lines(&row)[0].1, ["0.10 / 1.00 / 2.00 ms"]);
    }

    #[test]
    fn what_was_before_others_stopped_halfway_stands_behind_what_was_meanwhile() {
        let result = json!({
            "kind": "half_open", "p50_ms": 0.5, "p99_ms": 3.0, "max_ms": 9.0, "before_p50_ms": 0.4, "before_p99_ms": 2.0,
        });
        let row = Row { scenario: "halfopen-1000".to_owned(), cells: vec![result] };
        let line = lines(&row).remove(0);
        assert_eq!(line.0, "the same while 1,000 others stop halfway (before): p50 / p99 / max");
        assert_eq!(line.1, ["0.50 / 3.00 / 9.00 ms (0.40 / 2.00 ms)"]);
    }

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let Part { begin, end } = MQTT;
        let page = format!("# Performance\n\n{begin}\nold\n{end}\n\nWords.\n");
        let new = replaced(&page, MQTT, "new\n").unwrap();
        assert_eq!(new, format!("# Performance\n\n{begin}\n\nnew\n\n{end}\n\nWords.\n"));
        assert_eq!(replaced(&new, MQTT, "new").unwrap(), new);
    }

    #[test]
    fn a_page_that_is_not_there_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("performance.md");
        write(&file, MQTT, "first").unwrap();
        write(&file, MQTT, "second").unwrap();
        let page = std::fs::read_to_string(file).unwrap();
        let Part { begin, end } = MQTT;
        assert_eq!(page, format!("# Performance\n\n{begin}\n\nsecond\n\n{end}\n"));
    }

    #[test]
    fn a_page_without_markers_is_not_touched() {
        let Part { begin, end } = MQTT;
        assert!(replaced("# Performance\n", MQTT, "new").is_err());
        assert!(replaced(&format!("{end}\n{begin}\n"), MQTT, "new").is_err());
        assert!(replaced(&format!("{begin}\n{end}\n"), REST, "new").is_err());
    }
}
