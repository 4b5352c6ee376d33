//! A body for each route that takes one, which the reference at `/docs` fills in: it is valid as it is.
//!
//! Some name something that has to exist. The page puts what it finds there instead of the id or the code; the
//! extension `x-example-from` of the operation says where.

use serde_json::{Value, json};

use super::router::Route;

/// An id in an example.
pub(super) const ID: &str = "UeECn9a8PBpar8x4FEGdMsDd";

/// A text in an example that an answer brings.
const CODE: &str = "…";

/// The list of all thngs.
const THNGS: &str = "thngs";

/// The address and the password of the user in all examples.
const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse";

/// The body of a route whose schema has this name.
pub(super) fn example(route: &Route, schema: &str) -> Option<Value> {
    Some(match schema {
        "NewThng" => json!({
            "name": "Lamp", "tags": ["demo"], "customFields": { "color": "red" }, "identifiers": { "serial": "4711" },
            "properties": { "temperature": 21.5 },
        }),
        "ThngUpdate" => json!({ "description": "Above the table", "tags": ["demo"] }),
        "NewProduct" => json!({ "name": "Lamp 3000", "brand": "Example", "tags": ["demo"] }),
        "ProductUpdate" => json!({ "description": "A lamp for desks", "tags": ["demo"] }),
        "NewCollection" => json!({ "name": "Lamps", "description": "All lamps", "tags": ["demo"] }),
        "CollectionUpdate" => json!({ "description": "All lamps of a building", "tags": ["demo"] }),
        "NewPlace" => json!({ "name": "Office", "position": point() }),
        "PlaceUpdate" => json!({ "description": "Third floor", "position": point() }),
        "NewBatch" => json!({ "name": "Week 14", "tags": ["demo"] }),
        "BatchUpdate" => json!({ "description": "Made in week 14" }),
        "NewTask" => json!({
            "type": "POPULATING",
            "inputParameters": { "type": "FIXED_AMOUNT", "quantity": 3, "thngTemplate": { "name": "Lamp" } },
        }),
        "NewProject" => json!({ "name": "Lobby", "description": "What visitors see" }),
        "ProjectUpdate" => json!({ "description": "What visitors see" }),
        "NewApplication" => json!({ "name": "Visitor app", "socialNetworks": {} }),
        "ApplicationUpdate" => json!({ "description": "For phones" }),
        "NewRole" => json!({ "name": "Visitor", "type": "userInApp", "version": 2 }),
        "RoleUpdate" => json!({ "description": "May read" }),
        "Permissions" => json!([{ "path": format!("/{THNGS}"), "access": "r" }]),
        "SwitchWrite" => json!({ "enabled": true }),
        "NewAccessPolicy" => json!({ "name": "Thng readers", "permissions": ["thngs:read,list"] }),
        "AccessPolicyUpdate" => json!({ "permissions": ["thngs:read,list", "products:read,list"] }),
        "NewAccessToken" => json!({ "name": "Dashboard", "policies": [ID] }),
        "AccessTokenUpdate" => json!({ "description": "Of the screen in the hall" }),
        "NewAccess" => json!({ "email": access_email(route), "role": "admin", "firstName": "Grace" }),
        "AccessUpdate" => json!({ "tags": ["demo"] }),
        "AccountUpdate" => json!({ "description": "All lamps of a company" }),
        "OperatorUpdate" => json!({ "firstName": "Grace", "lastName": "Hopper" }),
        "NewUser" => {
            json!({ "email": EMAIL, "password": PASSWORD, "firstName": "Ada", "lastName": "Lovelace" })
        }
        "UserUpdate" => json!({ "firstName": "Ada", "lastName": "King" }),
        "Credentials" => json!({ "email": EMAIL, "password": PASSWORD }),
        "Activation" => json!({ "activationCode": CODE }),
        "DeviceKeyWrite" => json!({ "thngId": ID }),
        "Ids" => json!([ID]),
        "NewActionType" => json!({ "name": action_type(route), "description": "It was cleaned." }),
        "ActionTypeUpdate" => json!({ "description": "It was cleaned by hand." }),
        "ActionWrites" => json!({ "tags": ["demo"], "customFields": { "by": "Ada" } }),
        "PropertyWrites" => json!([{ "key": "temperature", "value": 21.5 }, { "key": "on", "value": true }]),
        "PropertyValueWrites" => json!([{ "value": 21.5 }]),
        "LocationWrites" => json!([{ "position": point() }]),
        "AccessQuestion" => json!({ "verb": "read", "path": format!("/{THNGS}") }),
        "Redirector" => {
            json!({ "rules": [{ "match": "type = \"thng\"", "redirectUrl": "https://example.com/" }] })
        }
        _ => return None,
    })
}

/// Where the page finds the id or the code: the newest of a list, or a field of the last answer.
pub(super) fn source(route: &Route, schema: &str) -> Option<Value> {
    let list = match (schema, route.path) {
        ("Activation", _) => return Some(json!({ "text": CODE, "field": "activationCode" })),
        ("Ids", path) if path.ends_with("collections") => "collections",
        ("Ids" | "DeviceKeyWrite", _) => THNGS,
        ("NewAccessToken", _) => "accessPolicies",
        _ => return None,
    };
    Some(json!({ "text": ID, "list": list }))
}

fn point() -> Value {
    json!({ "type": "Point", "coordinates": [8.5, 47.4] })
}

/// Routes of one kind have examples that can be taken one after the other.
fn access_email(route: &Route) -> &'static str {
    if route.path.contains("operatorAccess") { "alan@example.com" } else { "grace@example.com" }
}

fn action_type(route: &Route) -> &'static str {
    if route.path.ends_with("Types") { "_Painted" } else { "_Cleaned" }
}
