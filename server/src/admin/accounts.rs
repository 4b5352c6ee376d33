//! `accounts create`: another account, with an operator who may do everything in it.

use serde_json::json;

use super::{
    client,
    output::{print, say},
};
use crate::config::administration::AccountsCreate;
use thng_pubsub_transport::admin_socket::{Created, KeyShown, Request};

/// Creates an account, and prints its id, its operator's and the key.
///
/// # Errors
/// A sentence.
pub(super) fn create(create: AccountsCreate) -> anyhow::Result<()> {
    let AccountsCreate { data, name, email, json } = create;
    let request = Request::CreateAccount { name, email };
    let Created { whose: KeyShown { account, id, .. }, key } = client::ask_for_new(data.path(), &request)?;
    if json {
        return print(&json!({ "account": account, "operator": id, "key": key }).to_string());
    }
    print(&format!("account   {account}\noperator  {id}\nkey       {}", key.0))?;
    say("The key is not shown again.");
    Ok(())
}
