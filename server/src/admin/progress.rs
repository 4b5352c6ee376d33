//! Progress of a command: a bar on a terminal, and at the end a sentence with the result.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two looks of the bar at the clock.
const TICK: Duration = Duration::from_millis(200);

/// A bar on standard error, drawn only where that is a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    began: Instant,
}

impl Progress {
    /// Counts bytes.
    pub(super) fn of_bytes(what: &'static str) -> Self {
        Self::new(what, "{msg:10} {bar:30} {bytes} of {total_bytes}, {eta} left")
    }

    /// Counts events, of as many as there may be.
    pub(super) fn of_events(what: &'static str) -> Self {
        Self::new(what, "{msg:10} {bar:30} {human_pos} of {human_len} events, {eta} left")
    }

    /// Counts bytes of an unknown total.
    pub(super) fn of_unknown(what: &'static str) -> Self {
        Self::new(what, "{msg:10} {spinner} {bytes}, {bytes_per_sec}")
    }

    fn new(what: &'static str, template: &str) -> Self {
        let style = ProgressStyle::with_template(template).expect("our own templates are well formed");
        let bar = ProgressBar::new(0).with_style(style).with_message(what);
        Self { bar, began: Instant::now() }
    }

    /// So much of so much is done.
    pub(super) fn update(&self, done: u64, all: u64) {
        self.bar.set_length(all);
        self.bar.set_position(done);
    }

    /// Shows work of unknown length.
    pub(super) fn wait(&self, what: &'static str) {
        let style = ProgressStyle::with_template("{msg:10} {spinner} {elapsed}");
        self.bar.set_style(style.expect("our own templates are well formed"));
        self.bar.set_message(what);
        self.bar.enable_steady_tick(TICK);
    }

    /// Takes the bar away; returns how long it took.
    pub(super) fn end(self) -> String {
        self.bar.finish_and_clear();
        format!("{:.1} s", self.began.elapsed().as_secs_f64())
    }
}
