//! The brokers that are measured: how each is started on free ports of the loopback, and stopped.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::server::{self, Profile, Running};
use crate::setup;

/// How long Mosquitto may take until it accepts a connection.
const START_LIMIT: Duration = Duration::from_secs(10);

/// A broker that can be measured: this project's server, and Debian's Mosquitto.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Broker {
    ThngPubsub,
    Mosquitto,
}

impl Broker {
    /// Whether a scenario can be measured on it: only our server has a database.
    pub(super) fn has(self, scenario: &str) -> bool {
        self == Self::ThngPubsub || !["beside-", "writes-"].iter().any(|kind| scenario.starts_with(kind))
    }

    /// Its name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ThngPubsub => "thng-pubsub",
            Self::Mosquitto => "mosquitto",
        }
    }

    /// Its name as the head of a column.
    pub(super) fn title(self) -> String {
        match self {
            Self::ThngPubsub => "thng-pubsub".to_owned(),
            Self::Mosquitto => format!("Mosquitto {}", mosquitto_version().unwrap_or_default()),
        }
    }
}

/// `mosquitto version 2.0.11` is the first line of its help.
fn mosquitto_version() -> Option<String> {
    let output = Command::new(setup::program("mosquitto")?).arg("-h").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().next()?.rsplit(' ').next()?.to_owned())
}

/// A broker that runs until this value is dropped.
pub(super) enum Started {
    ThngPubsub(Running),
    Mosquitto(Mosquitto),
}

impl Started {
    /// Starts a broker with nothing in it; what it keeps goes into `folder`.
    pub(super) fn start(broker: Broker, root: &Path, folder: &Path) -> anyhow::Result<Self> {
        Ok(match broker {
            Broker::ThngPubsub => {
                let binary = server::binary(root, Profile::Release);
                Self::ThngPubsub(Running::start(
                    &binary,
                    &folder.join("data"),
                    &server::ALL_LISTENERS.map(str::to_owned),
                )?)
            }
            Broker::Mosquitto => Self::Mosquitto(Mosquitto::start(folder)?),
        })
    }

    /// How the load generator finds it.
    pub(super) fn flags(&self) -> Vec<String> {
        let flags = match self {
            Self::ThngPubsub(running) => vec![
                ("--mqtt", running.mqtt.clone()),
                ("--http", running.http.clone()),
                ("--https", running.https.clone()),
                ("--mqtts", running.mqtts.clone()),
                ("--key", running.operator_key.clone()),
                ("--pid", running.pid().to_string()),
                ("--program", running.binary.display().to_string()),
                ("--data", running.data.display().to_string()),
            ],
            Self::Mosquitto(mosquitto) => {
                vec![("--mqtt", mosquitto.address.to_string()), ("--pid", mosquitto.child.id().to_string())]
            }
        };
        flags.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }

    /// Stops it; a broker that has not survived its measurement is an error.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        match self {
            Self::ThngPubsub(running) => running.stop(),
            Self::Mosquitto(mut mosquitto) => match mosquitto.child.try_wait()? {
                Some(status) => bail!("mosquitto ended by itself ({status})"),
                None => server::end(&mut mosquitto.child).map(drop),
            },
        }
    }
}

/// A Mosquitto of our own.
pub(super) struct Mosquitto {
    child: Child,
    address: SocketAddr,
}

impl Mosquitto {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        // It cannot be asked for any free port, so one is found for it.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let file = folder.join("mosquitto.conf");
        std::fs::write(&file, settings(address))?;
        let program = setup::program("mosquitto").context("mosquitto is not installed")?;
        let mut command = Command::new(program);
        let child = command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut mosquitto = Self { child, address };
        mosquitto.wait_until_it_listens()?;
        Ok(mosquitto)
    }

    fn wait_until_it_listens(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("mosquitto ended at once ({status})");
            }
            if started.elapsed() > START_LIMIT {
                bail!("mosquitto does not listen on {}", self.address);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = server::end(&mut self.child);
    }
}

/// Mosquitto at its best: nothing on disk, no authentication, and no limit on queues. With its own limits it
/// drops QoS 1 messages when fifty publish at once, and what is lost cannot be compared.
fn settings(address: SocketAddr) -> String {
    format!(
        "listener {} {}\nallow_anonymous true\npersistence false\nlog_dest stderr\nlog_type error\n\
         max_inflight_messages 0\nmax_queued_messages 0\n",
        address.port(),
        address.ip()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_measured_on_our_server_alone() {
        assert!(!Broker::Mosquitto.has("writes-500"));
        assert!(Broker::ThngPubsub.has("beside-1000"));
        assert!(!Broker::Mosquitto.has("beside-1000") && Broker::Mosquitto.has("latency-1000"));
    }

    #[test]
    fn mosquitto_gets_its_port_and_the_loopback_address() {
        assert!(settings("127.0.0.1:4711".parse().unwrap()).starts_with("listener 4711 127.0.0.1\n"));
    }
}
