//! What the server's own tests stand on: a gateway with the real store and the real bus behind it.

use std::sync::{Arc, atomic::AtomicI64};

use thng_pubsub_protocol::{id::Id, payload::ThngInput};

use crate::{
    auth::keys,
    clock::Clock,
    engine::{Engine, EngineConfig},
    gateway::{Gateway, Outcome, Principal},
    metrics::Metrics,
    store::{Actor, Durability, KeyRecord, OperatorRecord, SqliteStore, WriteStore},
};

/// A gateway with two accounts behind it.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) gateway: Gateway,
    pub(crate) engine: Arc<Engine>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) owner: Arc<Principal>,
    pub(crate) stranger: Arc<Principal>,
    pub(crate) data: tempfile::TempDir,
}

/// An id of one letter.
pub(crate) fn id(letter: &str) -> Id {
    Id::parse(&letter.repeat(24)).expect("24 letters")
}

fn add_account(store: &mut dyn WriteStore, letter: &str) -> String {
    let key = letter.repeat(80);
    let (account, operator) = (id(letter), id(letter));
    let operator = OperatorRecord {
        id: operator,
        account,
        email: String::new(),
        first_name: String::new(),
        last_name: String::new(),
        created_at_ms: 0,
        updated_at_ms: 0,
    };
    let hash = keys::hash(&key).expect("80 letters");
    let record = KeyRecord { hash, account, actor: Actor::Operator(operator.id), created_at_ms: 0 };
    store.begin().expect("a group starts");
    store.add_operator(&operator, &record).expect("an operator fits");
    store.commit().expect("a group ends");
    key
}

impl House {
    /// Opens it on a store of its own; the clock stands still at 1,000 ms.
    pub(crate) async fn open() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let (read, mut write) = SqliteStore::open(data.path(), Durability::Normal, 2).expect("a new store");
        let keys = [add_account(&mut *write, "a"), add_account(&mut *write, "b")];
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let engine = Engine::start(EngineConfig::default(), &metrics.registry).expect("an engine");
        let clock = Clock::Held(Arc::new(AtomicI64::new(1_000)));
        let (gateway, _thread) =
            Gateway::start(read, write, Arc::clone(&engine), clock, Arc::clone(&metrics), 1 << 24)
                .expect("a gateway");
        let owner = gateway.authenticate(&keys[0]).await.expect("a known key");
        let stranger = gateway.authenticate(&keys[1]).await.expect("a known key");
        Self { gateway, engine, metrics, owner, stranger, data }
    }

    /// A new thng of the owner's.
    pub(crate) async fn thng(&self) -> Id {
        let input = ThngInput::parse(br#"{"name":"lamp"}"#).expect("a thng");
        match self.gateway.create_thng(&self.owner, input, 0, None).await.expect("it is created") {
            Outcome::Thng(thng) => thng.id,
            Outcome::Properties(_) | Outcome::Done => unreachable!("a created thng is shown"),
        }
    }
}
