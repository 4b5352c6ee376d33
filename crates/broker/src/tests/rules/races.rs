//! A command checks again what may have changed between the authorization of its call and its turn in the writer.

use serde_json::{Value, json};
use thng_pubsub_protocol::{
    id::{ActionTypeName, Id, PropertyKey},
    payload::{
        Json, LocationInput, LocationWrite, MembershipChange, Patch, PropertyWrite, ResourceKind, Scopes,
    },
    topic::TopicString,
};
use thng_pubsub_store::PropertyOwner;

use super::world::{ResourceId, World, id_of, sentences};
use crate::{
    commands::{
        ActionInput, ChangeThngs, Command, Create, CreateActions, Delete, RevokeKeys, Update, UpdateLocation,
        UpdateProperties,
    },
    error::BrokerError,
    random,
    request::RequestContext,
};

/// Executes a command as if its call had been authorized.
async fn execute<C: Command>(world: &World, command: C) -> Result<(), BrokerError> {
    world.resources().shared.execute(command, 0).await.map(drop)
}

fn is_invalid(outcome: &Result<(), BrokerError>) -> bool {
    matches!(outcome, Err(BrokerError::Invalid(_)))
}

fn patch(kind: ResourceKind, body: &Value) -> Patch {
    Patch::parse(kind, body.to_string().as_bytes()).expect("a document")
}

/// The creation of a thng by the owner.
fn creation(world: &World, body: &Value, parent: Option<ResourceId>) -> Create {
    Create {
        account: world.owner().account,
        id: Id::generate(random::byte),
        parent: parent.map(|parent| parent.0),
        patch: patch(ResourceKind::Thng, body),
        set: Vec::new(),
        scopes: Scopes::default(),
        private: None,
        keys: Vec::new(),
    }
}

/// An action on nothing by the owner.
fn action(name: &str, body: &Value, type_in_path: bool) -> ActionInput {
    ActionInput {
        id: Id::generate(random::byte),
        action_type: ActionTypeName::parse(name).expect("a name"),
        type_in_path,
        subject: None,
        patch: patch(ResourceKind::Action, body),
        user: None,
        device: None,
        project: None,
        app: None,
        scopes: Scopes::default(),
        gained: None,
        context: Json::parse("{}".into()).expect("JSON"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_stored_for_an_owner_that_is_still_there() {
    let world = World::new().await;
    let (account, thng) = (world.owner().account, id_of(&world.device).0);
    let write = |account, owner| {
        let (key, value) = (PropertyKey::parse("n").expect("a key"), Json::parse("1".into()).expect("JSON"));
        UpdateProperties { account, owner, writes: vec![PropertyWrite { key, value, timestamp_ms: None }] }
    };
    assert_eq!(execute(&world, write(account, PropertyOwner::Thng(thng))).await, Ok(()));
    let missing = Err(BrokerError::NotFound);
    let stranger = world.broker.stranger.account;
    assert_eq!(
        execute(&world, write(stranger, PropertyOwner::Thng(thng))).await,
        missing,
        "of another account"
    );
    assert_eq!(
        execute(&world, write(account, PropertyOwner::Product(thng))).await,
        missing,
        "of another kind"
    );
    world.delete(&world.owner(), &format!("/thngs/{thng}")).await.expect("deleted");
    assert_eq!(execute(&world, write(account, PropertyOwner::Thng(thng))).await, missing, "deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_is_that_of_a_place_that_is_still_there() {
    let world = World::new().await;
    let (account, thng) = (world.owner().account, id_of(&world.device).0);
    let position = json!({"type": "Point", "coordinates": [1, 2]});
    let place = world.made("/places", json!({"name": "n", "position": position})).await;
    let write = |account, place: Id| {
        let input = LocationInput::Place(place);
        UpdateLocation { account, thng, writes: vec![LocationWrite { input, timestamp_ms: None }] }
    };
    assert_eq!(execute(&world, write(account, place.0)).await, Ok(()));
    let refused = sentences(execute(&world, write(account, thng)).await);
    assert!(refused.contains("there is no such place"), "a thng: {refused}");
    let stranger = world.broker.stranger.account;
    assert_eq!(execute(&world, write(stranger, place.0)).await, Err(BrokerError::NotFound));
    world.delete(&world.owner(), &format!("/places/{place}")).await.expect("deleted");
    assert!(is_invalid(&execute(&world, write(account, place.0)).await), "deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_refers_to_what_is_still_there() {
    let world = World::new().await;
    let (owner, account) = (world.owner(), world.owner().account);
    let product = world.made("/products", json!({"name": "p"})).await;
    let collection = world.made("/collections", json!({"name": "c"})).await;
    let thng = world.made("/thngs", json!({"name": "t"})).await;
    let update = |body: &Value| {
        let patch = Box::new(patch(ResourceKind::Thng, body));
        Update { account, kind: ResourceKind::Thng, id: thng.0, patch, private: None }
    };
    let join = |thng: ResourceId| {
        let change = MembershipChange::ThngsAdded;
        ChangeThngs { account, collection: collection.0, change, thngs: vec![thng.0] }
    };
    let with_product = json!({"name": "t", "product": product});
    assert_eq!(execute(&world, creation(&world, &with_product, None)).await, Ok(()));
    assert_eq!(execute(&world, update(&with_product)).await, Ok(()));
    world.update(&owner, &format!("/thngs/{thng}"), json!({"product": null})).await.expect("changed");
    world.delete(&owner, &format!("/products/{product}")).await.expect("deleted");
    assert!(is_invalid(&execute(&world, creation(&world, &with_product, None)).await));
    assert!(is_invalid(&execute(&world, update(&with_product)).await));
    assert!(is_invalid(&execute(&world, join(product)).await));
    assert_eq!(execute(&world, join(thng)).await, Ok(()));
    let name = json!({"name": "t"});
    let below = creation(&world, &name, Some(product));
    assert_eq!(execute(&world, below).await, Err(BrokerError::NotFound), "below what was deleted");
    let stranger = &world.broker.stranger;
    let foreign = world.create(stranger, "/projects", name.clone()).await.expect("created");
    let below = creation(&world, &name, Some(foreign));
    assert_eq!(execute(&world, below).await, Err(BrokerError::NotFound), "below another account's");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_has_a_type_and_subjects_that_are_still_there() {
    let world = World::new().await;
    let account = world.owner().account;
    let create = |input| CreateActions { account, inputs: vec![input], notifications_max: 100 };
    let nothing = json!({});
    assert_eq!(execute(&world, create(action("scans", &nothing, true))).await, Ok(()));
    assert_eq!(execute(&world, create(action("_own", &nothing, true))).await, Err(BrokerError::NotFound));
    assert!(is_invalid(&execute(&world, create(action("_own", &nothing, false))).await));
    for field in ["thng", "product", "collection"] {
        let body = json!({field: world.project});
        assert!(is_invalid(&execute(&world, create(action("scans", &body, true))).await), "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_changes_nothing_of_another_account() {
    let world = World::new().await;
    let (stranger, thng) = (world.broker.stranger.account, id_of(&world.device));
    let (kind, missing) = (ResourceKind::Thng, Err(BrokerError::NotFound));
    let update = Box::new(patch(kind, &json!({"name": "x"})));
    let update = Update { account: stranger, kind, id: thng.0, patch: update, private: None };
    assert_eq!(execute(&world, update).await, missing);
    assert_eq!(execute(&world, Delete { account: stranger, kind, id: thng.0 }).await, missing);
    assert_eq!(execute(&world, RevokeKeys { account: stranger, actor: world.device.actor }).await, missing);
    let other_kind = Delete { account: world.owner().account, kind: ResourceKind::Product, id: thng.0 };
    assert_eq!(execute(&world, other_kind).await, missing);
    assert_eq!(world.document(&format!("/thngs/{thng}")).await["name"], "t");
    assert_eq!(world.identity().check_key(&world.device), Ok(()));
}

/// A connection keeps the context of a topic that it publishes on again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_publish_sees_what_becomes_of_its_resource() {
    let world = World::new().await;
    let project = world.made("/projects", json!({"name": "p"})).await;
    let (thng, other) =
        (world.made("/thngs", json!({"name": "t"})).await, world.made("/thngs", json!({"name": "o"})).await);
    let path = format!("/thngs/{thng}");
    let scoped = async |projects: &[&ResourceId]| {
        let projects: Vec<String> = projects.iter().map(|project| project.to_string()).collect();
        world.update(&world.owner(), &path, json!({"scopes": {"projects": projects}})).await
    };
    let context = |options: &str| {
        let topic = TopicString::parse(&format!("{path}/properties/k{options}")).expect("a topic");
        RequestContext::publish(&world.owner(), topic).expect("a topic to publish on")
    };
    let (in_project, anywhere) = (context(&format!("?project={project}")), context(""));
    let published = async |context| world.pubsub().publish_and_wait(context, b"1").await;
    for _ in 0..2 {
        assert_eq!(published(&in_project).await, Err(BrokerError::NotFound));
        assert_eq!(published(&anywhere).await, Ok(()));
        assert_eq!(scoped(&[&project]).await, Ok(()));
        assert_eq!(published(&in_project).await, Ok(()));
        assert_eq!(published(&in_project).await, Ok(()));
        assert_eq!(scoped(&[]).await, Ok(()));
    }
    assert_eq!(world.delete(&world.owner(), &format!("/thngs/{other}")).await, Ok(()));
    assert_eq!(published(&anywhere).await, Ok(()));
    assert_eq!(world.delete(&world.owner(), &path).await, Ok(()));
    assert_eq!(published(&anywhere).await, Err(BrokerError::NotFound));
}
