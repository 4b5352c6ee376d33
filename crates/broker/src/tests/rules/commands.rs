//! Validation and storage of each command, one noun after the other.

use std::sync::atomic::Ordering;

use serde_json::{Map, json};
use thng_pubsub_protocol::{payload::ResourceKind, topic::table::Access};

use super::world::{World, context, id_of, sentences};
use crate::error::BrokerError;

/// Whether a refusal is about the content of the request.
fn is_invalid<T>(outcome: &Result<T, BrokerError>) -> bool {
    matches!(outcome, Err(BrokerError::Invalid(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn values_without_a_time_get_that_of_their_arrival() {
    let world = World::new().await;
    let (owner, thng) = (world.owner(), id_of(&world.device));
    let base = format!("/thngs/{thng}/properties");
    world.broker.clock.store(5_000, Ordering::SeqCst);
    let values = json!([{"key": "a", "value": 1}, {"key": "b", "value": 2, "timestamp": 3_000}]);
    world.publish(&owner, &base, values).await.expect("stored");
    for (key, timestamp) in [("a", 5_000), ("b", 3_000)] {
        let state = world.state(&owner, &format!("{base}/{key}")).await.expect("visible").expect("stored");
        assert_eq!((&state[0]["timestamp"], &state[0]["createdAt"]), (&json!(timestamp), &json!(5_000)));
    }
    // A value of an earlier time joins the history, and the latest one stays.
    world
        .publish(&owner, &format!("{base}/a"), json!([{"value": 0, "timestamp": 4_000}]))
        .await
        .expect("stored");
    let state = world.state(&owner, &format!("{base}/a")).await.expect("visible").expect("stored");
    assert_eq!(state[0]["value"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_need_an_owner_of_the_account() {
    let world = World::new().await;
    let (owner, thng) = (world.owner(), id_of(&world.device));
    let collection = world.made("/collections", json!({"name": "c"})).await;
    let value = json!([{"value": 1}]);
    for path in [format!("/thngs/{collection}"), format!("/products/{thng}")] {
        let topic = format!("{path}/properties/n");
        assert_eq!(world.publish(&owner, &topic, value.clone()).await, Err(BrokerError::NotFound), "{topic}");
    }
    let topic = format!("/thngs/{thng}/properties/n");
    assert_eq!(
        world.publish(&world.broker.stranger, &topic, value.clone()).await,
        Err(BrokerError::NotFound)
    );
    world.delete(&owner, &format!("/thngs/{thng}")).await.expect("deleted");
    assert_eq!(world.publish(&owner, &topic, value).await, Err(BrokerError::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_is_a_point_or_that_of_a_place() {
    let world = World::new().await;
    let (owner, thng) = (world.owner(), id_of(&world.device));
    let topic = format!("/thngs/{thng}/location");
    let position = json!({"type": "Point", "coordinates": [8.5, 47.4]});
    let place = world.made("/places", json!({"name": "n", "position": position})).await;
    let nowhere = world.made("/places", json!({"name": "n"})).await;
    world.publish(&owner, &topic, json!([{"place": place}])).await.expect("stored");
    let state = world.state(&owner, &topic).await.expect("visible").expect("stored");
    assert_eq!(state[0]["position"]["coordinates"], json!([8.5, 47.4]), "{state}");
    for (place, said) in [(nowhere, "this place has no position"), (thng, "there is no such place")] {
        let refused = sentences(world.publish(&owner, &topic, json!([{"place": place}])).await);
        assert!(refused.contains(said), "{refused}");
    }
    assert_eq!(world.state(&owner, &topic).await.expect("visible"), Some(state), "nothing else was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_creation_leaves_nothing_behind() {
    let world = World::new().await;
    let owner = world.owner();
    let collection = world.made("/collections", json!({"name": "c"})).await;
    let before = world.list(&owner, "/thngs").await;
    let missing = world.project;
    for body in [
        json!({"name": "t", "collections": [collection], "product": missing}),
        json!({"name": "t", "collections": [collection, missing]}),
        json!({"name": "t", "collections": [collection], "location": {"place": missing}}),
        json!({"name": "t", "collections": [collection], "scopes": {"projects": [collection]}}),
        json!({"name": "t", "collections": [collection], "scopes": {"users": [collection]}}),
    ] {
        let refused = world.create(&owner, "/thngs", body.clone()).await;
        assert!(is_invalid(&refused), "{body}: {refused:?}");
    }
    assert_eq!(world.list(&owner, "/thngs").await, before);
    assert_eq!(world.members(collection, ResourceKind::Thng).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thng_is_created_with_values_and_memberships() {
    let world = World::new().await;
    let owner = world.owner();
    let collection = world.made("/collections", json!({"name": "c"})).await;
    let body = json!({
        "name": "t", "collections": [collection], "properties": {"a": 1},
        "location": {"position": {"type": "Point", "coordinates": [1, 2]}},
    });
    let thng = world.made("/thngs", body).await;
    assert_eq!(world.members(collection, ResourceKind::Thng).await, [thng]);
    for (topic, value) in
        [("properties/a", json!(1)), ("location", json!({"type": "Point", "coordinates": [1, 2]}))]
    {
        let state =
            world.state(&owner, &format!("/thngs/{thng}/{topic}")).await.expect("visible").expect("stored");
        assert!(state[0]["value"] == value || state[0]["position"] == value, "{state}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_changes_the_fields_that_it_names() {
    let world = World::new().await;
    let owner = world.owner();
    let thng = world.made("/thngs", json!({"name": "t", "description": "d", "tags": ["x"]})).await;
    let path = format!("/thngs/{thng}");
    world.update(&owner, &path, json!({"description": null, "tags": ["y"]})).await.expect("changed");
    let document = world.document(&path).await;
    assert_eq!(
        (&document["name"], document.get("description"), &document["tags"]),
        (&json!("t"), None, &json!(["y"]))
    );
    let record = world.read(&owner, &path).await.expect("there");
    assert!(record.updated_at_ms > record.created_at_ms, "also within one millisecond");
    assert!(is_invalid(&world.update(&owner, &path, json!({"name": null})).await), "it is required");
    assert!(is_invalid(&world.update(&owner, &path, json!({"product": thng})).await), "no product");
    assert_eq!(
        world.update(&owner, &format!("/products/{thng}"), json!({"name": "p"})).await,
        Err(BrokerError::NotFound)
    );
    assert_eq!(world.document(&path).await, document);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_unique_are_taken_once_per_account() {
    let world = World::new().await;
    let owner = world.owner();
    let own = world.made("/actionTypes", json!({"name": "_own"})).await;
    let again = world.create(&owner, "/actionTypes", json!({"name": "_own"})).await;
    assert!(matches!(again, Err(BrokerError::Conflict(_))), "{again:?}");
    assert!(is_invalid(&world.create(&owner, "/actionTypes", json!({"name": "own"})).await));
    let stranger = world.create(&world.broker.stranger, "/actionTypes", json!({"name": "_own"})).await;
    assert!(stranger.is_ok(), "another account has names of its own: {stranger:?}");
    world.delete(&owner, &format!("/actionTypes/{own}")).await.expect("deleted");
    assert!(world.create(&owner, "/actionTypes", json!({"name": "_own"})).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_has_one_position_however_it_is_given() {
    let world = World::new().await;
    let owner = world.owner();
    let place = world.made("/places", json!({"name": "n", "latitude": 47.4, "longitude": 8.5})).await;
    let path = format!("/places/{place}");
    assert_eq!(world.document(&path).await["position"]["coordinates"], json!([8.5, 47.4]));
    let position = json!({"position": {"type": "Point", "coordinates": [1, 2]}});
    world.update(&owner, &path, position).await.expect("changed");
    let document = world.document(&path).await;
    assert_eq!((&document["longitude"], &document["latitude"]), (&json!(1), &json!(2)));
    assert!(is_invalid(&world.create(&owner, "/places", json!({"name": "n", "latitude": 1})).await));
    let beyond = json!({"name": "n", "latitude": 91, "longitude": 0});
    assert!(is_invalid(&world.create(&owner, "/places", beyond).await));
    world.update(&owner, &path, json!({"position": null})).await.expect("changed");
    let document = world.document(&path).await;
    assert!(
        ["position", "latitude", "longitude"].iter().all(|field| document.get(field).is_none()),
        "{document}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_many_is_made_for_all_or_for_none() {
    let world = World::new().await;
    let owner = world.owner();
    let mut ids = Vec::new();
    for name in ["a", "b"] {
        ids.push(world.made("/thngs", json!({"name": name})).await);
    }
    let gone = world.made("/thngs", json!({"name": "c"})).await;
    world.delete(&owner, &format!("/thngs/{gone}")).await.expect("deleted");
    let all = [ids.clone(), vec![gone]].concat();
    assert_eq!(world.update_many(&owner, "/thngs", &all, json!({"description": "d"})).await, Ok(2));
    // The document of the second one has no space for what that of the first one has.
    let large = json!({"customFields": {"l": "x".repeat(70 * 1024)}});
    world.update(&owner, &format!("/thngs/{}", ids[1]), large).await.expect("it fits");
    let identifiers: Map<_, _> = (0..100).map(|key| (format!("k{key}"), "x".repeat(700).into())).collect();
    let change = json!({"name": "new", "identifiers": identifiers});
    assert!(is_invalid(&world.update_many(&owner, "/thngs", &ids, change.clone()).await));
    assert_eq!(world.document(&format!("/thngs/{}", ids[0])).await["name"], "a");
    assert_eq!(world.update_many(&owner, "/thngs", &ids[..1], change).await, Ok(1));
    assert!(is_invalid(&world.update_many(&owner, "/thngs", &ids, json!({"product": gone})).await));
    assert_eq!(world.delete_many(&owner, "/thngs", &all).await, Ok(2));
    assert_eq!(world.update_many(&owner, "/thngs", &all, json!({"description": "e"})).await, Ok(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_thng_takes_its_values_members_and_key() {
    let world = World::new().await;
    let owner = world.owner();
    let collection = world.made("/collections", json!({"name": "c"})).await;
    let thng =
        world.made("/thngs", json!({"name": "t", "collections": [collection], "properties": {"a": 1}})).await;
    let device = world.device_of(thng).await;
    world.delete(&owner, &format!("/thngs/{thng}")).await.expect("deleted");
    assert_eq!(world.members(collection, ResourceKind::Thng).await, []);
    assert_eq!(world.identity().check_key(&device), Err(BrokerError::InvalidKey));
    let topic = format!("/thngs/{thng}/properties/a");
    assert_eq!(world.state(&owner, &topic).await, Err(BrokerError::NotFound));
    assert_eq!(world.delete(&owner, &format!("/thngs/{thng}")).await, Err(BrokerError::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_project_end_with_it() {
    let world = World::new().await;
    world.delete(&world.owner(), &format!("/projects/{}", world.project)).await.expect("deleted");
    for (who, principal) in
        [("application", &world.application), ("trusted", &world.trusted), ("user", &world.ada)]
    {
        assert_eq!(world.identity().check_key(principal), Err(BrokerError::InvalidKey), "{who}");
    }
    assert_eq!(world.identity().check_key(&world.other_user), Ok(()));
    assert_eq!(world.identity().check_key(&world.device), Ok(()), "the thng remains");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thng_has_one_key_until_it_is_revoked() {
    let world = World::new().await;
    let (owner, thng) = (world.owner(), id_of(&world.device));
    assert_eq!(world.device_of(thng).await.key, world.device.key);
    let path = format!("/auth/evrythng/thngs/{thng}");
    let access = Access::Delete;
    let request = context(&owner, access, &path);
    world.identity().revoke_device_key(&request, thng.0).await.expect("revoked");
    assert_eq!(world.identity().check_key(&world.device), Err(BrokerError::InvalidKey));
    let again = world.identity().revoke_device_key(&request, thng.0).await;
    assert_eq!(again, Err(BrokerError::NotFound));
    assert_ne!(world.device_of(thng).await.key, world.device.key);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_needs_a_known_type_and_known_subjects() {
    let world = World::new().await;
    let (owner, thng) = (world.owner(), id_of(&world.device));
    let missing = world.project;
    for (topic, payload, expected) in [
        ("/actions/_new".to_owned(), json!({}), Err(BrokerError::NotFound)),
        (format!("/thngs/{missing}/actions/scans"), json!({}), Err(BrokerError::NotFound)),
        (format!("/thngs/{thng}/actions/_new"), json!({}), Err(BrokerError::NotFound)),
        (format!("/thngs/{thng}/actions/scans"), json!({}), Ok(())),
        ("/actions/checkins".to_owned(), json!({"thng": thng}), Ok(())),
    ] {
        assert_eq!(world.publish(&owner, &topic, payload).await, expected, "{topic}");
    }
    for payload in [json!({"type": "_new"}), json!({"type": "scans", "thng": missing})] {
        assert!(is_invalid(&world.publish(&owner, "/actions/all", payload.clone()).await), "{payload}");
    }
    let before = world.list(&owner, "/actions/all").await;
    let array = json!([{"thng": thng}, {"thng": missing}]);
    assert!(is_invalid(&world.publish(&owner, "/actions/scans", array).await));
    assert_eq!(world.list(&owner, "/actions/all").await, before, "none of an array");
    let _ = world.made("/actionTypes", json!({"name": "_new"})).await;
    assert_eq!(world.publish(&owner, "/actions/_new", json!({})).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_takes_product_and_author_from_its_context() {
    let world = World::new().await;
    let thng = id_of(&world.device);
    world.publish(&world.device, "/actions/scans", json!({})).await.expect("created");
    let of_device = world.list(&world.owner(), "/actions/all").await.expect("a list")[0];
    let document = world.document(&format!("/actions/scans/{of_device}")).await;
    assert_eq!((&document["thng"], &document["createdByThng"]), (&json!(thng), &json!(thng)), "{document}");
    assert!(document["product"].is_string(), "that of its thng: {document}");
    let topic = format!("/thngs/{thng}/actions/scans");
    world.publish(&world.ada, &topic, json!({"timestamp": 7})).await.expect("created");
    let of_user = world.list(&world.owner(), "/actions/all").await.expect("a list")[0];
    let document = world.document(&format!("/actions/scans/{of_user}")).await;
    assert_eq!(document["user"], json!(id_of(&world.ada)), "{document}");
    assert_eq!(document["createdByProject"], json!(world.project), "{document}");
    assert_eq!((&document["timestamp"], &document["locationSource"]), (&json!(7), &json!("unknown")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thng_is_commissioned_once_and_then_decommissioned() {
    let world = World::new().await;
    let (owner, thng) = (world.owner(), id_of(&world.device));
    let act =
        async |name: &str| world.publish(&owner, &format!("/thngs/{thng}/actions/{name}"), json!({})).await;
    let is_conflict = |outcome| matches!(outcome, Err(BrokerError::Conflict(_)));
    assert!(is_conflict(act("decommissions").await), "it was not commissioned");
    let twice = json!([{"type": "commissions", "thng": thng}, {"type": "decommissions", "thng": thng}]);
    let refused = world.publish(&owner, "/actions/all", twice).await;
    assert!(refused.is_err(), "one call changes the state once");
    assert_eq!(act("commissions").await, Ok(()));
    assert!(is_conflict(act("commissions").await));
    assert_eq!(act("decommissions").await, Ok(()));
    assert!(is_conflict(act("decommissions").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_is_never_inside_itself() {
    let world = World::new().await;
    let owner = world.owner();
    let mut chain = Vec::new();
    for name in ["a", "b", "c"] {
        chain.push(world.made("/collections", json!({"name": name})).await);
    }
    let add = async |outer: usize, inner: usize| {
        let path = format!("/collections/{}/collections", chain[outer]);
        let request = context(&owner, Access::Create, &path);
        world.resources().add_collections(&request, chain[outer].0, vec![chain[inner].0]).await
    };
    assert_eq!(add(0, 1).await, Ok(()));
    assert_eq!(add(1, 2).await, Ok(()));
    for (outer, inner) in [(0, 0), (1, 0), (2, 0), (2, 1)] {
        assert!(is_invalid(&add(outer, inner).await), "{inner} in {outer}");
    }
    assert_eq!(add(0, 2).await, Ok(()), "twice below another one is no circle");
    assert_eq!(world.members(chain[2], ResourceKind::Collection).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_share_nothing() {
    let world = World::new().await;
    let account = world.identity().make_account("second", "eve@example.com").await.expect("an account");
    let eve = world.identity().authenticate(&account.text).await.expect("a key");
    assert_ne!(eve.account, world.owner().account);
    let thng = id_of(&world.device);
    for path in [format!("/thngs/{thng}"), format!("/projects/{}", world.project)] {
        assert_eq!(world.read(&eve, &path).await.err(), Some(BrokerError::NotFound), "{path}");
        assert_eq!(world.delete(&eve, &path).await, Err(BrokerError::NotFound), "{path}");
        assert_eq!(
            world.update(&eve, &path, json!({"name": "x"})).await,
            Err(BrokerError::NotFound),
            "{path}"
        );
    }
    for body in
        [json!({"name": "t", "product": thng}), json!({"name": "t", "scopes": {"projects": [world.project]}})]
    {
        assert!(is_invalid(&world.create(&eve, "/thngs", body).await));
    }
    assert_eq!(world.list(&eve, "/thngs").await, Ok(vec![]));
    let subscriber = world.subscribe(&eve, "/actions/all").await.expect("its own");
    world.publish(&world.owner(), "/actions/scans", json!({})).await.expect("created");
    assert!(world.received(&subscriber).is_empty());
}
