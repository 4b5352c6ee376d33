//! The load generator as a program. All of it is in the library, in `command`.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    thng_pubsub_bench::command::run(&words)
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("the load generator runs on Linux only: what a broker costs is read from /proc");
    std::process::exit(1);
}
