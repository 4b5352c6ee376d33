//! Rows of the tables of metrics.

use std::cell::RefCell;

use prometheus::core::Collector;

thread_local! {
    /// What was registered on this thread: a registry leaves out families that have no sample yet.
    static REGISTERED: RefCell<Vec<[String; 3]>> = const { RefCell::new(Vec::new()) };
}

/// Records a collector that is registered.
pub fn record(collector: &impl Collector) {
    REGISTERED.with_borrow_mut(|rows| {
        for (family, description) in collector.collect().iter().zip(collector.desc()) {
            let labels = description.variable_labels.join(",");
            let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
            let kind = format!("{:?}", family.get_field_type()).to_lowercase();
            rows.push([format!("`{}{labels}`", family.name()), kind, family.help().to_owned()]);
        }
    });
}

/// What was recorded on this thread since the last call, by name: name with labels, type, and help.
#[must_use]
pub fn recorded() -> Vec<[String; 3]> {
    let mut rows = REGISTERED.take();
    rows.sort_unstable();
    rows
}
