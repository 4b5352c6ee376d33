//! Measures the broker without a network: durable property writes, and pages of long lists.
//!
//! Called by `cargo xtask bench` through `examples/measure.rs`; not part of a release (the feature `measure`). Each
//! function works on an empty folder of its own, with the disk synced before anything counts as done, and returns one
//! JSON line for each figure.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use thng_pubsub_protocol::{
    filter::Filter,
    id::{Id, PropertyKey},
    payload::{Patch, ResourceKind},
    topic::{PropertyOwner, Topic, TopicString, table::Access},
};
use tokio::sync::Semaphore;

use crate::{
    clock::Clock,
    config::Config,
    metrics::Metrics,
    startup::service_settings,
    store::{Cursor, PageRequest, SortOrder, SqliteStore},
};
use thng_pubsub_broker::{
    RequestContext, Services,
    client_events::ClientEvents,
    identity::{KeySecret, Principal, SECRET_BYTES, first_account},
    resources::{ListQuery, ListScope, NewResource, document},
};
use thng_pubsub_bus::{Bus, BusSettings};

/// Properties that are written to: each of so many thngs has so many.
const THNGS: usize = 50;
const KEYS: usize = 100;

/// Writes that wait for their commit at a time.
const IN_FLIGHT: usize = 4_096;

/// How long writes are counted, after a warm-up of a quarter of it.
const MEASURED: Duration = Duration::from_secs(8);

/// Creations that wait for their commit at a time while a long list is made.
const CREATIONS: usize = 1_024;

/// How often each page is read.
const PAGES: usize = 200;

struct OpenStore {
    services: Services,
    principal: Arc<Principal>,
}

async fn open(data: &Path) -> anyhow::Result<OpenStore> {
    let config = Config::default();
    let (read, mut write) = SqliteStore::open_with(data, config.data.store())?;
    let key = "M".repeat(80);
    first_account(&mut *write, &key, 0)?;
    let metrics = Arc::new(Metrics::new()?);
    let bus = Bus::start(BusSettings::default(), &metrics.registry)?;
    let secret = KeySecret::new([0; SECRET_BYTES]);
    let settings = service_settings(&config);
    let client_events = ClientEvents::off(Arc::clone(&read));
    let (services, _writer) =
        Services::start(read, write, bus, Clock::System, metrics, secret, settings, client_events)?;
    let principal = services.identity.authenticate(&key).await.ok().context("the key was just made")?;
    Ok(OpenStore { services, principal })
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

async fn create(opened: &OpenStore, body: String) -> anyhow::Result<Id> {
    let patch = Patch::parse(ResourceKind::Thng, body.as_bytes())?;
    let request = RequestContext::new(&opened.principal, Access::Create, "/");
    let created = opened.services.resources.create(&request, NewResource::of(patch), body.len()).await;
    Ok(created.map_err(|refusal| anyhow::anyhow!("{refusal}"))?.id)
}

/// Durable property writes per second over 5,000 properties, 200 bytes each, through the broker: authorized, validated,
/// committed, without subscribers.
///
/// # Errors
/// Whatever keeps it from running.
pub fn writes(data: &Path) -> anyhow::Result<Vec<String>> {
    runtime()?.block_on(async {
        let opened = open(data).await?;
        let mut topics = Vec::new();
        for _ in 0..THNGS {
            let thng = create(&opened, r#"{"name":"measured"}"#.into()).await?;
            for key in 0..KEYS {
                let key = Some(PropertyKey::parse(&format!("key-{key}"))?);
                let topic = Topic::Properties { owner: PropertyOwner::Thng(thng), key };
                topics.push(TopicString::parse(&topic.canonical())?);
            }
        }
        let payload = format!(r#"[{{"value":"{}"}}]"#, "x".repeat(180));
        let permits = Arc::new(Semaphore::new(IN_FLIGHT));
        let stored = Arc::new(AtomicU64::new(0));
        let started = Instant::now();
        let (mut counted_from, mut before) = (started, 0);
        for topic in topics.iter().cycle() {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
            let counted = Arc::clone(&stored);
            let on_stored = move |outcome: Result<_, _>| {
                counted.fetch_add(u64::from(outcome.is_ok()), Ordering::Relaxed);
                drop(permit);
                None
            };
            let request = RequestContext::publish(&opened.principal, topic.clone())?;
            let pubsub = &opened.services.pubsub;
            let published = pubsub.publish(&request, payload.as_bytes(), on_stored).await;
            published.map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
            if before == 0 && started.elapsed() > MEASURED / 4 {
                (counted_from, before) = (Instant::now(), stored.load(Ordering::Relaxed).max(1));
            }
            if before > 0 && counted_from.elapsed() > MEASURED {
                break;
            }
        }
        let rate = (stored.load(Ordering::Relaxed) - before) as f64 / counted_from.elapsed().as_secs_f64();
        let all = permits.acquire_many(IN_FLIGHT as u32).await;
        drop(all);
        let figure = serde_json::json!({ "figure": "durable property writes over 5,000 properties", "per_s": rate.round() });
        Ok(vec![figure.to_string()])
    })
}

/// How long a page of 100 takes in an account of so many thngs: at the beginning, the middle and the end. Filters are a
/// tag that every hundredth has, an identifier that one has, and both.
///
/// # Errors
/// Whatever keeps it from running.
pub fn lists(data: &Path, count: usize) -> anyhow::Result<Vec<String>> {
    runtime()?.block_on(async {
        let opened = Arc::new(open(data).await?);
        let (started, permits) = (Instant::now(), Arc::new(Semaphore::new(CREATIONS)));
        for number in 0..count {
            let permit = Arc::clone(&permits).acquire_owned().await?;
            let opened = Arc::clone(&opened);
            let tag = number % 100;
            let body = format!(
                r#"{{"name":"thng {number}","tags":["t{tag}"],"identifiers":{{"serial":"s{number}"}}}}"#
            );
            tokio::spawn(async move {
                let created = create(&opened, body).await;
                drop(permit);
                created.map(drop)
            });
        }
        drop(permits.acquire_many(CREATIONS as u32).await?);
        let created = count as f64 / started.elapsed().as_secs_f64();
        let mut figures =
            vec![serde_json::json!({ "figure": "thngs created, with a tag and an identifier", "per_s": created.round() })];
        let middle = place(&opened, count / 2).await?;
        let end = place(&opened, count.saturating_sub(101)).await?;
        let by_tag = Some(Filter::parse("tags=t7")?);
        let by_identifier = Some(Filter::parse(&format!("identifiers.serial=s{}", count / 3))?);
        let by_both = Some(Filter::parse(&format!("tags=t7&identifiers.serial=s{}", count / 3))?);
        for (what, after, filter) in [
            ("the first page of 100", None, None),
            ("a page of 100 in the middle", Some(middle), None),
            ("the last page of 100", Some(end), None),
            ("a page of 100 by a tag", None, by_tag),
            ("by an identifier", None, by_identifier),
            ("by a tag and an identifier", None, by_both),
        ] {
            let page = PageRequest { items: 100, order: SortOrder::NewestFirst, after };
            let query = ListQuery { page, filter, ..ListQuery::one() };
            let mut took = Vec::with_capacity(PAGES);
            let mut items = 0;
            for _ in 0..PAGES {
                let started = Instant::now();
                items = read(&opened, &query).await?;
                took.push(started.elapsed());
            }
            took.sort_unstable();
            let ms = |at: usize| (took[at].as_secs_f64() * 100_000.0).round() / 100.0;
            let (p50, p99) = (ms(PAGES / 2), ms(PAGES - PAGES / 100 - 1));
            let figure = format!("{what} of {count} thngs");
            figures.push(serde_json::json!({ "figure": figure, "items": items, "p50_ms": p50, "p99_ms": p99 }));
        }
        Ok(figures.iter().map(ToString::to_string).collect())
    })
}

/// Reads a page as REST shows it: with latest values, locations and collections.
async fn read(opened: &OpenStore, query: &ListQuery) -> anyhow::Result<usize> {
    let request = RequestContext::new(&opened.principal, Access::Read, "/");
    let page = opened.services.resources.list(&request, ResourceKind::Thng, ListScope::All, query).await;
    let (page, _) = page.map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
    for record in &page.items {
        let extras = opened
            .services
            .resources
            .extras(&request, record)
            .map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
        std::hint::black_box(document(record, &extras));
    }
    Ok(page.items.len())
}

/// The cursor behind so many of the newest.
async fn place(opened: &OpenStore, count: usize) -> anyhow::Result<Cursor> {
    let request = RequestContext::new(&opened.principal, Access::Read, "/");
    let page = PageRequest { items: 1, order: SortOrder::OldestFirst, after: None };
    let oldest = ListQuery { page, ..ListQuery::one() };
    let list = opened.services.resources.list(&request, ResourceKind::Thng, ListScope::All, &oldest).await;
    let oldest =
        list.ok().and_then(|(page, _)| page.items.first().map(|one| one.cursor().seq)).unwrap_or_default();
    let newest =
        opened.services.resources.list(&request, ResourceKind::Thng, ListScope::All, &ListQuery::one()).await;
    let newest =
        newest.ok().and_then(|(page, _)| page.items.first().map(|one| one.cursor().seq)).unwrap_or_default();
    // One event a creation: sequences are as close as the thngs were created.
    Ok(Cursor { at_ms: 0, seq: newest.saturating_sub(count as u64).max(oldest) })
}
