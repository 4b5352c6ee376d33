//! The server without its listeners: the store, the bus and the broker.
//!
//! `serve` puts listeners in front of it; a command that changes something where no server runs does without.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context as _;

use super::key_secret;
use crate::{
    clock::Clock,
    config::Config,
    metrics::Metrics,
    store::{self, ReadStore, SqliteStore, WriteStore},
};
use thng_pubsub_broker::{
    QueueLimits, ScanLimits, ServiceSettings, Services, SubscriptionLimits,
    client_events::{ClientEvents, JournalSettings},
};
use thng_pubsub_bus::{Bus, BusSettings};

/// The settings of the broker at its start.
#[derive(Debug)]
pub(super) struct BrokerSettings {
    data: PathBuf,
    store: store::StoreSettings,
    dispatchers: usize,
    services: ServiceSettings,
    /// `None` for a command, which has no clients.
    journal: Option<JournalSettings>,
}

impl BrokerSettings {
    /// Those of a server.
    pub(super) fn of(config: &Config) -> Self {
        Self {
            data: config.data.folder.path.clone(),
            store: config.data.store(),
            dispatchers: config.subscriptions.dispatchers,
            services: service_settings(config),
            journal: Some(config.client_events.journal()),
        }
    }

    /// Those of a command that does one thing where no server runs. Nothing that is kept for durable sessions is dropped
    /// for a bound that their server may not have.
    pub(super) fn offline(data: &Path) -> Self {
        let Self { store, services, .. } = Self::of(&Config::default());
        Self {
            data: data.into(),
            store: store::StoreSettings { readers: 2, ..store },
            dispatchers: 1,
            journal: None,
            services: ServiceSettings {
                answer_bytes_max: usize::MAX,
                scans: ScanLimits {
                    at_a_time: 1,
                    queue_max: 1,
                    bytes_max: u64::MAX,
                    time_max: Duration::MAX,
                },
                session_queue: QueueLimits {
                    sessions: usize::MAX,
                    sessions_per_key: usize::MAX,
                    subscriptions: usize::MAX,
                    messages_per_topic: usize::MAX,
                    bytes: usize::MAX,
                },
                subscriptions: SubscriptionLimits {
                    per_key: usize::MAX,
                    per_account: usize::MAX,
                    total: usize::MAX,
                },
                session_expiry_ms: i64::MAX,
                ..services
            },
        }
    }
}

/// The limits of the services, as the settings say.
pub(crate) fn service_settings(config: &Config) -> ServiceSettings {
    let Config { data, connections, messages, lists, subscriptions, sessions, rates, .. } = config;
    ServiceSettings {
        write_queue_bytes_max: messages.write_queue_bytes_max,
        bulk_size_max: messages.bulk_size_max,
        page_size_max: lists.page_size_max,
        members_max: messages.members_max,
        notifications_max: messages.command_notifications_max,
        connections_per_key_max: connections.connections_per_key_max.unwrap_or(usize::MAX),
        answer_bytes_max: lists.answer_bytes_max,
        scans: lists.scan_limits(data.database_readers.saturating_sub(1).max(1)),
        session_queue: sessions.queue_limits(),
        password_queue_max: rates.password_queue_max,
        subscriptions: subscriptions.memory(),
        session_expiry_ms: i64::try_from(sessions.session_expiry_s).unwrap_or(i64::MAX / 1000) * 1000,
    }
}

/// The context before the broker exists.
pub(super) struct BootContext<'s> {
    pub(super) read: &'s dyn ReadStore,
    pub(super) write: &'s mut dyn WriteStore,
    pub(super) clock: &'s Clock,
}

/// The core, running.
pub(super) struct BrokerHandle {
    pub(super) services: Services,
    pub(super) bus: Arc<Bus>,
    pub(super) writer: JoinHandle<()>,
}

impl BrokerHandle {
    /// Claims the data folder and starts store, bus and broker. `before` is called when the store is open and no other
    /// code uses it yet.
    ///
    /// # Errors
    /// Whatever keeps it from starting, in a sentence that says what to do.
    pub(super) fn start(
        settings: BrokerSettings,
        metrics: &Arc<Metrics>,
        before: impl FnOnce(BootContext<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let BrokerSettings { data, store, dispatchers, services: limits, journal } = settings;
        let (read, mut write) = SqliteStore::open_with(&data, store)?;
        let clock = Clock::System;
        let secret = key_secret::open(&data, &*read, &mut *write)?;
        before(BootContext { read: &*read, write: &mut *write, clock: &clock })?;
        let settings = BusSettings { dispatchers, ..BusSettings::default() };
        let bus = Bus::start(settings, &metrics.registry).context("the notification bus did not start")?;
        let client_events = match journal {
            Some(journal) => ClientEvents::open(&data, journal, Arc::clone(&read), clock.clone(), metrics),
            None => ClientEvents::off(Arc::clone(&read)),
        };
        let (services, writer) = Services::start(
            read,
            write,
            Arc::clone(&bus),
            clock,
            Arc::clone(metrics),
            secret,
            limits,
            client_events,
        )
        .context("the writer could not be started")?;
        Ok(Self { services, bus, writer })
    }

    /// Ends it when everything that was asked for is done.
    pub(super) fn stop(self) {
        let Self { services, bus, writer } = self;
        drop(services);
        finish(writer, &bus);
    }
}

/// Waits for the end of the writer, whose queue is closed, and stops the bus.
pub(super) fn finish(writer: JoinHandle<()>, bus: &Bus) {
    // It has reported its failure itself.
    let _ = writer.join();
    bus.stop();
}
