//! Checks of a CONNECT: the credentials, and the right to publish its will.

use std::{net::IpAddr, sync::Arc};

use thng_pubsub_protocol::{
    mqtt::{Connect, ConnectCode, ProtocolLevel, Will},
    topic::TopicString,
};

use super::wire::UpgradeKey;
use crate::{
    Context,
    client_reports::{Client, Refused},
    logged_error::LoggedError,
};
use thng_pubsub_broker::{BrokerError, PublishContext, RequestContext, identity::Principal};

/// Where a broker says how it is. Mosquitto leaves a will there for each of its bridges, whatever is at the other end. This
/// server has no such topics, so such a will is nothing that its client relies on, and is no reason to refuse it.
const BROKER_STATE: &str = "$SYS/";

/// A will that was authorized at CONNECT, to be published when the connection is lost.
pub(super) struct LastWill {
    publish: PublishContext,
    payload: Vec<u8>,
}

/// An accepted client: its principal, if it sent a key, and its will, if it has one.
type AcceptedClient = (Option<Arc<Principal>>, Option<Box<LastWill>>);

/// Decides about a CONNECT. A refusal is reported; its CONNACK code and the name of its reason are returned.
pub(super) async fn examine(
    context: &Context,
    client: Client<'_>,
    connect: &Connect<'_>,
    upgrade_key: Option<UpgradeKey>,
) -> Result<AcceptedClient, (ConnectCode, &'static str)> {
    // 3.1.1 lets a server name a client that has no id if it keeps no session [MQTT-3.1.3-7]; 3.1 does not.
    let nameless = connect.client_id.is_empty();
    if nameless && (connect.level == ProtocolLevel::V3_1 || !connect.clean_session) {
        context.report_unacceptable(client, "empty_client_id", "the client id is empty");
        return Err((ConnectCode::IdentifierRejected, "empty_client_id"));
    }
    let address = client.address;
    let key = sent_key(connect, upgrade_key.as_ref());
    let mut known = None;
    let identified = match &key {
        Ok(None) => Ok(()),
        Ok(Some(key)) => match context.authenticate(address, key).await {
            Ok(principal) => context.rates.connect_of_key(&known.insert(principal).key),
            Err(refusal) => Err(refusal),
        },
        Err(refusal) => Err(refusal.clone()),
    };
    if let Err(refusal) = identified {
        let answer = (code(&refusal), refusal.reason());
        let rejected = LoggedError::new(refusal, known.as_deref()).with_key(key.ok().flatten());
        context.report_refusal(client, Refused::Connect, &rejected);
        return Err(answer);
    }
    let principal = known;
    let Some(will) = &connect.will else { return Ok((principal, None)) };
    if will.topic.starts_with(BROKER_STATE) {
        let refusal = TopicString::parse(will.topic).err().map_or(BrokerError::NotFound, BrokerError::from);
        let rejected = LoggedError::on_text(refusal, principal.as_deref(), will.topic);
        context.report_refusal(client, Refused::IgnoredWill, &rejected);
        return Ok((principal, None));
    }
    match examine_will(context, address, principal.as_ref(), will).await {
        Ok(will) => Ok((principal, Some(will))),
        Err(refusal) => {
            // Whose key was not even looked at may come again; every other will stays refused.
            let answer = match &refusal {
                BrokerError::TooOften(_) => (code(&refusal), refusal.reason()),
                _ => (ConnectCode::NotAuthorised, "will"),
            };
            let rejected = LoggedError::on_text(refusal, principal.as_deref(), will.topic);
            context.report_refusal(client, Refused::Will, &rejected);
            Err(answer)
        }
    }
}

/// The CONNACK code of a refusal: 3 for what may be better later.
pub(super) fn code(refusal: &BrokerError) -> ConnectCode {
    if refusal.is_temporary() { ConnectCode::ServerUnavailable } else { ConnectCode::NotAuthorised }
}

/// The product description: user name `authorization`, the API key as password. A client that sends neither has the key
/// of its upgrade to a WebSocket. Without that it is let in too; each of its topics then needs an `access_token`.
fn sent_key<'c>(
    connect: &Connect<'c>,
    upgrade_key: Option<&'c UpgradeKey>,
) -> Result<Option<&'c str>, BrokerError> {
    match (connect.user_name, connect.password) {
        (None, None) => Ok(upgrade_key.map(|key| &*key.0)),
        // What is no text is no key either, and counts as one that is none.
        (Some("authorization"), Some(password)) => {
            Ok(Some(std::str::from_utf8(password).unwrap_or_default()))
        }
        (Some(_) | None, _) => Err(BrokerError::InvalidKey),
    }
}

async fn examine_will(
    context: &Context,
    address: IpAddr,
    principal: Option<&Arc<Principal>>,
    will: &Will<'_>,
) -> Result<Box<LastWill>, BrokerError> {
    let topic = TopicString::parse(will.topic)?;
    let principal = context.principal(address, principal, topic.options.access_token.as_ref()).await?;
    let publish = RequestContext::publish(&principal, topic)?;
    context.pubsub.check_publish(&publish, will.payload)?;
    Ok(Box::new(LastWill { publish, payload: will.payload.to_vec() }))
}

impl LastWill {
    /// Publishes it like any other publish.
    pub(super) async fn publish(self, context: &Context, client: Client<'_>) {
        // Its key may have been revoked meanwhile.
        let Self { publish, payload } = self;
        let published = match context.identity.check_key(publish.principal()) {
            Ok(()) => context.pubsub.publish_and_wait(&publish, &payload).await,
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = published {
            let rejected = LoggedError::of_publish(refusal, &publish);
            context.report_refusal(client, Refused::UnpublishedWill, &rejected);
        }
    }
}
