//! Measures the broker in process and prints one JSON line a figure: `measure writes DIR` or `measure lists DIR COUNT`.
#![expect(clippy::print_stdout, reason = "a command line program answers on standard output")]

use std::path::Path;

use anyhow::{Context as _, bail};
use thng_pubsub_server::measure;

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let lines = match words[..] {
        ["writes", data] => measure::writes(Path::new(data))?,
        ["lists", data, count] => {
            measure::lists(Path::new(data), count.parse().context("COUNT is a number of thngs")?)?
        }
        _ => bail!("measure writes DIR | measure lists DIR COUNT"),
    };
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}
