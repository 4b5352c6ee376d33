//! The rate limits: how often one API key, and one address, may ask, publish, connect, and show a key that is none.
//!
//! Every transport asks here before work with a cost; [`thng_pubsub_broker::rate`] counts. The transport chooses the
//! consequence of a limit: 429, CONNACK 3, a publish that has to wait. The broker decides about rights.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use prometheus::IntCounter;
use tokio_util::sync::CancellationToken;

use self::buckets::{Buckets, Remaining};
use thng_pubsub_broker::{
    BrokerError,
    identity::KeyHash,
    metrics::Metrics,
    rate::{Exceeded, FailedLogins, Name, Rate, RateLimit},
};

mod buckets;

/// How often buckets that are full again are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(30);

static REQUEST_RATE_PER_KEY: Name = Name {
    setting: "request-rate-per-key",
    kind: "requests",
    scope: "key",
    said: "requests of this API key",
};
static REQUEST_RATE_PER_ADDRESS: Name = Name {
    setting: "request-rate-per-address",
    kind: "requests",
    scope: "address",
    said: "requests of this address",
};
static PUBLISH_RATE_PER_KEY: Name = Name {
    setting: "publish-rate-per-key",
    kind: "publishes",
    scope: "key",
    said: "publishes of this API key",
};
static PUBLISH_RATE_PER_ADDRESS: Name = Name {
    setting: "publish-rate-per-address",
    kind: "publishes",
    scope: "address",
    said: "publishes of this address",
};
static CONNECTION_RATE_PER_KEY: Name = Name {
    setting: "connection-rate-per-key",
    kind: "connections",
    scope: "key",
    said: "new connections of this API key",
};
static CONNECTION_RATE_PER_ADDRESS: Name = Name {
    setting: "connection-rate-per-address",
    kind: "connections",
    scope: "address",
    said: "new connections of this address",
};
static FAILED_LOGINS_PER_ADDRESS: Name = Name {
    setting: "failed-logins-per-address",
    kind: "failed_logins",
    scope: "address",
    said: "logins of this address with a wrong key or password",
};

/// All of them; those that are off cost a look.
#[derive(Debug)]
pub struct Rates {
    requests: Pair,
    publishes: Pair,
    connects: Pair,
    failed_logins: Option<Limit<IpAddr>>,
    /// Whether failed logins are counted by addresses that no stranger has, too.
    counts_private: bool,
}

/// The same by key and by address.
#[derive(Debug)]
struct Pair {
    key: Option<Limit<KeyHash>>,
    address: Option<Limit<IpAddr>>,
}

#[derive(Debug)]
struct Limit<K: Hash + Eq + Copy> {
    name: &'static Name,
    buckets: Buckets<K>,
    exceeded: IntCounter,
}

/// A limit that is in force for a caller.
#[derive(Debug)]
pub struct EffectiveLimit {
    pub name: &'static Name,
    pub rate: Rate,
    pub left: Remaining,
}

impl<K: Hash + Eq + Copy> Limit<K> {
    fn new(
        setting: RateLimit,
        name: &'static Name,
        (delay_max, most): (Duration, usize),
        metrics: &Metrics,
    ) -> Option<Self> {
        let rate = setting.rate()?;
        let labels = [name.kind, name.scope];
        let entries = metrics.rate_limit_entries.with_label_values(&labels);
        let exceeded = metrics.rate_limited.with_label_values(&labels);
        Some(Self { name, buckets: Buckets::new(rate, delay_max, most, entries), exceeded })
    }

    fn take(&self, key: &K) -> Result<(), BrokerError> {
        self.buckets.take(key).map_err(|wait| self.refuse(wait))
    }

    fn refuse(&self, wait: Duration) -> BrokerError {
        self.exceeded.inc();
        BrokerError::TooOften(Exceeded::new(self.name, self.buckets.rate(), wait))
    }

    fn show(&self, key: &K) -> EffectiveLimit {
        EffectiveLimit { name: self.name, rate: self.buckets.rate(), left: self.buckets.look(key) }
    }
}

fn take<K: Hash + Eq + Copy>(limit: &Option<Limit<K>>, key: &K) -> Result<(), BrokerError> {
    limit.as_ref().map_or(Ok(()), |limit| limit.take(key))
}

/// How long to wait, where there is a limit.
fn take_a_turn<K: Hash + Eq + Copy>(limit: &Option<Limit<K>>, key: &K) -> Result<Duration, BrokerError> {
    let Some(limit) = limit else { return Ok(Duration::ZERO) };
    limit.buckets.take_a_turn(key).map_err(|wait| limit.refuse(wait))
}

fn give_back<K: Hash + Eq + Copy>(limit: &Option<Limit<K>>, key: &K) {
    if let Some(limit) = limit {
        limit.buckets.give_back(key);
    }
}

/// The rate limits, from the settings of the same names.
#[derive(Debug, Clone)]
pub struct RateSettings {
    pub request_rate_per_key: RateLimit,
    pub request_rate_per_address: RateLimit,
    pub publish_rate_per_key: RateLimit,
    pub publish_rate_per_address: RateLimit,
    pub connection_rate_per_key: RateLimit,
    pub connection_rate_per_address: RateLimit,
    pub failed_logins_per_address: FailedLogins,
    /// Keys, and addresses, that each limit remembers, 1 or more.
    pub entries_max: usize,
    /// How long a publish waits for its turn at the most.
    pub publish_delay_max: Duration,
}

impl Rates {
    /// The limits that the settings say.
    pub fn new(settings: &RateSettings, metrics: &Metrics) -> Self {
        let bounds = (settings.publish_delay_max, settings.entries_max);
        let pair = |(by_key, key), (by_address, address)| Pair {
            key: Limit::new(by_key, key, bounds, metrics),
            address: Limit::new(by_address, address, bounds, metrics),
        };
        let FailedLogins { limit, counts_private } = settings.failed_logins_per_address;
        Self {
            requests: pair(
                (settings.request_rate_per_key, &REQUEST_RATE_PER_KEY),
                (settings.request_rate_per_address, &REQUEST_RATE_PER_ADDRESS),
            ),
            publishes: pair(
                (settings.publish_rate_per_key, &PUBLISH_RATE_PER_KEY),
                (settings.publish_rate_per_address, &PUBLISH_RATE_PER_ADDRESS),
            ),
            connects: pair(
                (settings.connection_rate_per_key, &CONNECTION_RATE_PER_KEY),
                (settings.connection_rate_per_address, &CONNECTION_RATE_PER_ADDRESS),
            ),
            failed_logins: Limit::new(limit, &FAILED_LOGINS_PER_ADDRESS, bounds, metrics),
            counts_private,
        }
    }

    /// A request has come, from any client.
    ///
    /// # Errors
    /// [`BrokerError::TooOften`], here and below.
    pub(super) fn request_of_address(&self, address: IpAddr) -> Result<(), BrokerError> {
        take(&self.requests.address, &address)
    }

    /// A request has shown a key.
    pub(super) fn request_of_key(&self, key: &KeyHash) -> Result<(), BrokerError> {
        take(&self.requests.key, key)
    }

    /// A connection has come.
    pub(super) fn connect_of_address(&self, address: IpAddr) -> Result<(), BrokerError> {
        take(&self.connects.address, &address)
    }

    /// A connection has shown a key to stay for.
    pub(super) fn connect_of_key(&self, key: &KeyHash) -> Result<(), BrokerError> {
        take(&self.connects.key, key)
    }

    /// A publish by a client that is asked to retry later where the limit is reached.
    pub(super) fn publish(&self, address: IpAddr, key: &KeyHash) -> Result<(), BrokerError> {
        take(&self.publishes.address, &address)?;
        take(&self.publishes.key, key).inspect_err(|_| give_back(&self.publishes.address, &address))
    }

    /// A publish by a client that can be delayed: for how long.
    pub(super) fn publish_in_turn(&self, address: IpAddr, key: &KeyHash) -> Result<Duration, BrokerError> {
        let of_address = take_a_turn(&self.publishes.address, &address)?;
        let of_key = take_a_turn(&self.publishes.key, key)
            .inspect_err(|_| give_back(&self.publishes.address, &address))?;
        Ok(of_address.max(of_key))
    }

    /// A publish that waited for its turn did not take it.
    pub(super) fn publish_given_up(&self, address: IpAddr, key: &KeyHash) {
        give_back(&self.publishes.address, &address);
        give_back(&self.publishes.key, key);
    }

    /// A password is about to be tried. It counts as failed until it turns out to be right: hashing takes its time, and
    /// many could be tried together before the first has failed.
    pub(super) fn try_password(&self, address: IpAddr) -> Result<PasswordAttempt<'_>, BrokerError> {
        let limit = self.failed_logins_of(address);
        limit.map_or(Ok(()), |limit| limit.take(&address))?;
        Ok(PasswordAttempt { limit, address })
    }

    /// A key is about to be looked up: refused after too many wrong ones from its address.
    pub(super) fn try_key(&self, address: IpAddr) -> Result<(), BrokerError> {
        let Some(limit) = self.failed_logins_of(address) else { return Ok(()) };
        limit.buckets.has_one(&address).map_err(|wait| limit.refuse(wait))
    }

    /// The key was wrong.
    pub(super) fn key_failed(&self, address: IpAddr) {
        if let Some(limit) = self.failed_logins_of(address) {
            // Another client of this address may have taken the last one meanwhile.
            let _ = limit.buckets.take(&address);
        }
    }

    fn failed_logins_of(&self, address: IpAddr) -> Option<&Limit<IpAddr>> {
        self.failed_logins.as_ref().filter(|_| self.counts_private || !is_private(address))
    }

    /// The limits that a caller has, and what is left of them.
    pub(super) fn shown(&self, address: IpAddr, key: &KeyHash) -> Vec<EffectiveLimit> {
        let mut shown = Vec::new();
        for Pair { key: by_key, address: by_address } in [&self.requests, &self.publishes, &self.connects] {
            shown.extend(by_key.as_ref().map(|limit| limit.show(key)));
            shown.extend(by_address.as_ref().map(|limit| limit.show(&address)));
        }
        shown.extend(self.failed_logins_of(address).map(|limit| limit.show(&address)));
        shown
    }

    /// Removes unused buckets from time to time, until it is stopped.
    pub async fn run_eviction(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(FORGET_EVERY)).await.is_some() {
            for Pair { key, address } in [&self.requests, &self.publishes, &self.connects] {
                key.iter().for_each(|limit| limit.buckets.forget_full());
                address.iter().for_each(|limit| limit.buckets.forget_full());
            }
            self.failed_logins.iter().for_each(|limit| limit.buckets.forget_full());
        }
    }
}

/// A password that is being tried.
#[derive(Debug)]
#[must_use]
pub(super) struct PasswordAttempt<'r> {
    limit: Option<&'r Limit<IpAddr>>,
    address: IpAddr,
}

impl PasswordAttempt<'_> {
    /// It was not wrong.
    pub(super) fn forgive(self) {
        if let Some(limit) = self.limit {
            limit.buckets.give_back(&self.address);
        }
    }
}

/// Whether an address is of this machine or of a private network: what comes from there is a proxy's as often as not,
/// which all share, and never a stranger's.
fn is_private(address: IpAddr) -> bool {
    /// What providers have between themselves and their customers [RFC 6598].
    fn is_shared(address: Ipv4Addr) -> bool {
        address.octets()[0] == 100 && (64..128).contains(&address.octets()[1])
    }
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_shared(v4),
        // The /64 network of an address is asked, and that of `::1` is `::`.
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_no_stranger_has_are_known() {
        let is_private =
            |address: &str| is_private(crate::addresses::network(address.parse().expect("an address")));
        for address in
            ["127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.1.1", "100.64.0.1"]
        {
            assert!(is_private(address), "{address}");
            assert!(is_private(&format!("::ffff:{address}")), "{address} as IPv6");
        }
        for address in ["::1", "fd00::1", "fe80::1"] {
            assert!(is_private(address), "{address}");
        }
        for address in ["192.0.2.1", "100.128.0.1", "172.32.0.1", "8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8"]
        {
            assert!(!is_private(address), "{address}");
        }
    }
}
