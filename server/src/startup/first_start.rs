//! The first start on an empty folder: an account, its operator, and the key that opens everything.

use std::path::Path;

use crate::{
    clock::Clock,
    config::Config,
    durable_file, random,
    store::{ReadStore, WriteStore},
};
use anyhow::Context as _;
use thng_pubsub_broker::identity::{first_account, generate_key, hash_key};

/// Where a key that was made here is written to, readable by the owner only.
const KEY_FILE: &str = "operator.key";

/// Makes sure that there is an operator who can get in.
pub(super) fn ensure_operator(
    config: &Config,
    read: &dyn ReadStore,
    write: &mut dyn WriteStore,
    clock: &Clock,
) -> anyhow::Result<()> {
    if !read.accounts(1)?.is_empty() {
        if !read.has_keys()? {
            tracing::warn!("no API keys exist; create one with `keys create`");
        }
        return warn_about_other_key(config, read);
    }
    let key = match &config.data.operator_key {
        Some(key) => key.reveal().to_owned(),
        None => make_key(&config.data.folder.path)?,
    };
    let now_ms = clock.now_ms();
    let (account, id) = first_account(write, &key, now_ms)?;
    tracing::info!(account.id = %account, operator.id = %id, "first start: an account and its operator were made");
    Ok(())
}

/// A key on the command line that is not in the database would otherwise fail every call without a hint.
fn warn_about_other_key(config: &Config, read: &dyn ReadStore) -> anyhow::Result<()> {
    if let Some(key) = &config.data.operator_key
        && read.key(&hash_key(key.reveal())?)?.is_none()
    {
        tracing::warn!(
            "--operator-key counts on the first start only, and this folder was used before with another key: \
             the given one does not open anything"
        );
    }
    Ok(())
}

/// Makes a key and writes it down before it is used, so that it is never lost.
fn make_key(data: &Path) -> anyhow::Result<String> {
    let key = generate_key(random::byte);
    let path = data.join(KEY_FILE);
    let written = durable_file::write(&path, format!("{key}\n").as_bytes(), 0o600);
    written.with_context(|| format!("cannot write the operator's key to {}", path.display()))?;
    tracing::info!(file = %path.display(), "the operator's API key was written");
    Ok(key)
}
