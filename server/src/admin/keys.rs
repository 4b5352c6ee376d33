//! `keys list`, `keys create`, `keys revoke`: who may get in, by the beginnings of their keys' hashes.

use serde_json::json;

use super::{
    client,
    output::{plain, print, say, table, time},
};
use crate::{
    config::administration::{KeysCreate, KeysList, KeysRevoke},
    store::{KeyRecord, ReadOnlyDatabase, ResourceRecord},
};
use thng_pubsub_transport::admin_socket::{Answer, Created, KeyShown, Request};

/// Prints all keys, without their texts.
///
/// # Errors
/// A sentence.
pub(super) fn list(list: &KeysList) -> anyhow::Result<()> {
    let read_only = ReadOnlyDatabase::open(list.data.path())?;
    let mut rows = vec![["HANDLE", "ACCOUNT", "KIND", "ID", "CREATED (UTC)", "NAME"].map(str::to_owned)];
    read_only.keys(|key, owner| {
        if list.account.as_ref().is_some_and(|account| *account != key.account.as_str()) {
            return Ok(());
        }
        let KeyShown { handle, account, actor, id } = KeyShown::new(key.account, key.actor, &key.hash);
        let name = owner.as_ref().map(name_of).unwrap_or_default();
        if list.json {
            return print(&line(&key, &name, owner.is_some()));
        }
        let name = if owner.is_some() { plain(&name) } else { "(gone: opens nothing)".into() };
        rows.push([handle, account, actor, id, time(key.created_at_ms), name]);
        anyhow::Ok(())
    })?;
    if list.json { Ok(()) } else { print(&table(&rows)) }
}

fn line(key: &KeyRecord, name: &str, is_there: bool) -> String {
    let created = (key.created_at_ms > 0).then_some(key.created_at_ms);
    json!({
        "handle": key.hash.handle(),
        "hash": key.hash.to_hex(),
        "account": key.account.as_str(),
        "actor": key.actor.kind(),
        "id": key.actor.id().as_str(),
        "name": is_there.then_some(name),
        "createdAt": created,
        "canBeShown": key.nonce.is_some(),
    })
    .to_string()
}

/// The name of a key's owner for people.
fn name_of(owner: &ResourceRecord) -> String {
    let fields = owner.fields();
    let text = |name| fields.text(name).filter(|text| !text.is_empty());
    text("email").or_else(|| text("name")).unwrap_or_default()
}

/// Makes a key and prints it.
///
/// # Errors
/// A sentence.
pub(super) fn create(create: KeysCreate) -> anyhow::Result<()> {
    let KeysCreate { data, account, operator, token, role, policies, conditions, json } = create;
    let request = match (operator, token) {
        (Some(operator), _) => Request::CreateOperatorKey { account, operator, role, policies, conditions },
        (None, token) => {
            Request::CreateToken { account, name: token.unwrap_or_default(), policies, conditions }
        }
    };
    let Created { whose, key } = client::ask_for_new(data.path(), &request)?;
    let KeyShown { handle, account, actor, id } = &whose;
    if json {
        let shown = json!({ "key": key, "handle": handle, "account": account, "actor": actor, "id": id });
        return print(&shown.to_string());
    }
    print(&key.0)?;
    say(&format!("{} {id} of account {account}; `keys revoke {handle}` takes the key away.", spoken(actor)));
    Ok(())
}

/// Takes a key away.
///
/// # Errors
/// A sentence.
pub(super) fn revoke(revoke: KeysRevoke) -> anyhow::Result<()> {
    let KeysRevoke { data, handle } = revoke;
    match client::ask(data.path(), &Request::RevokeKey { handle })? {
        Answer::Revoked(KeyShown { handle, account, actor, id }) => {
            say(&format!(
                "The key {handle} opens nothing any more: {} {id} of account {account}.",
                spoken(&actor)
            ));
            Ok(())
        }
        Answer::Status(_) | Answer::Created(_) | Answer::Refused(_) => Err(client::misunderstood()),
    }
}

/// A kind of key owner, in a sentence.
fn spoken(actor: &str) -> &str {
    match actor {
        "trustedApplication" => "trusted application",
        "accessToken" => "access token",
        other => other,
    }
}
