//! Native WebSocket: a socket opened on a topic's own path. What comes out are its notifications, what goes in is
//! published on it.
//!
//! Access is decided before the upgrade. A bad key and a wrong id get 403 (product description, "Unauthorized
//! Subscription"), a path that is no topic gets 404, a missing key gets 401. Afterwards a message that cannot be published is
//! answered with the error document that REST would give, and the socket stays open. One that comes too often waits for its
//! turn, and nothing more is read until then.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    extract::{
        Request,
        ws::{CloseCode, Message, Utf8Bytes, WebSocket, close_code},
    },
    response::Response,
};
use bytes::Bytes;
use thng_pubsub_protocol::{
    payload::{ErrorCode, ErrorDocument},
    topic::{TopicError, TopicString},
};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use super::{
    Context,
    accept::AcceptedConnection,
    answer,
    client_reports::{Client, Refused},
    logged_error::LoggedError,
    public_url::public_url,
    upgrade,
};
use thng_pubsub_broker::{
    BrokerError, PublishContext, RequestContext, SubscribeContext,
    client_events::owner_of,
    identity::{KeyLease, Principal},
    pubsub::{Delivery, DeliveryQos, OutboundQueue, OutboundQueueState, SubscriptionHandle},
};

const PROTOCOL: &str = "websocket";

/// The one subscription of a socket.
const SLOT: u32 = 0;

/// Decides about an upgrade on a topic's path, and serves the socket.
pub(super) async fn open(context: Arc<Context>, request: Request) -> Response {
    let Some(admitted) = request.extensions().get::<AcceptedConnection>().cloned() else {
        return answer::refuse(ErrorCode::INTERNAL, "The connection is not known.");
    };
    let key = answer::key_of(request.headers(), request.uri().query());
    let path = request.uri().path_and_query().map_or("", |path| path.as_str()).to_owned();
    let url = public_url(request.headers(), admitted.is_https());
    let upgrade = match upgrade::handshake(request, context.limits.message_bytes_max).await {
        Ok(upgrade) => upgrade,
        Err(response) => return response,
    };
    let socket = match Socket::open(context, key.as_deref(), &path, admitted).await {
        Ok(socket) => socket,
        Err(refusal) => return refuse(&refusal),
    };
    upgrade.on_upgrade(move |stream| Socket { url, ..socket }.serve(stream))
}

/// A refusal before the upgrade: rendered here only.
fn refuse(refusal: &BrokerError) -> Response {
    let ErrorDocument { errors, .. } = refusal.document();
    let wrong_id = matches!(refusal, BrokerError::NotFound | BrokerError::InvalidTopic(TopicError::Name(_)));
    if wrong_id { answer::refuse(ErrorCode::FORBIDDEN, &errors.join(" ")) } else { answer::render(refusal) }
}

struct Socket {
    context: Arc<Context>,
    subscribe: SubscribeContext,
    /// A refusal where the topic is for subscriptions only.
    publish: Result<PublishContext, BrokerError>,
    outbound_queue: Arc<OutboundQueue>,
    wake: Arc<Notify>,
    _handle: SubscriptionHandle,
    key: KeyLease,
    admitted: AcceptedConnection,
    /// The address by which the client calls the server, for links.
    url: String,
}

/// A message that waits for its turn, and when that comes.
type DelayedMessage = (Instant, Bytes);

/// Tells the socket what became of a publish.
type PublishResults = mpsc::UnboundedSender<Result<(), BrokerError>>;

/// Why a socket ends.
enum CloseReason {
    /// The client closed it, or is gone.
    ClientClosed,
    /// We close it: the code, the reason for the client, and its name for log and metrics.
    Close(CloseCode, &'static str, &'static str),
}

impl Socket {
    /// Subscribes. From here on events wait in the outbound queue, so nothing is lost while the upgrade completes.
    async fn open(
        context: Arc<Context>,
        key: Option<&str>,
        path: &str,
        admitted: AcceptedConnection,
    ) -> Result<Self, BrokerError> {
        let reporter = Arc::clone(&context);
        let client = client_of(&admitted);
        let mut principal = None;
        let opened = Self::subscribe(context, key, path, admitted, &mut principal).await;
        opened.inspect_err(|refusal| {
            let rejected = LoggedError::on_text(refusal.clone(), principal.as_deref(), path).with_key(key);
            reporter.report_refusal(client, Refused::Upgrade, &rejected);
        })
    }

    async fn subscribe(
        context: Arc<Context>,
        key: Option<&str>,
        path: &str,
        admitted: AcceptedConnection,
        whose: &mut Option<Arc<Principal>>,
    ) -> Result<Self, BrokerError> {
        let principal = context.authenticate(admitted.address(), key.ok_or(BrokerError::NoKey)?).await?;
        *whose = Some(Arc::clone(&principal));
        context.rates.request_of_key(&principal.key)?;
        context.rates.connect_of_key(&principal.key)?;
        let path = path.strip_prefix("/v2").filter(|rest| rest.starts_with('/')).unwrap_or(path);
        let topic = TopicString::parse(path)?;
        let wake = Arc::<Notify>::default();
        let outbound_queue = OutboundQueue::new(context.limits.outbound_queue, Arc::clone(&wake));
        let key = context.identity.lease_key(&principal, &wake)?;
        let publish = RequestContext::publish(&principal, topic.clone());
        let subscribe = RequestContext::subscribe(&principal, topic);
        let handle = context
            .pubsub
            .subscribe(&subscribe, &outbound_queue, SLOT, DeliveryQos::AtLeastOnce, None)
            .await?;
        Ok(Self {
            context,
            subscribe,
            publish,
            outbound_queue,
            wake,
            _handle: handle,
            key,
            admitted,
            url: String::new(),
        })
    }

    async fn serve(self, mut stream: WebSocket) {
        let gauge = self.context.metrics.connections.with_label_values(&[PROTOCOL]);
        gauge.inc();
        let (client, owner) = (client_of(&self.admitted), owner_of(self.subscribe.principal()));
        self.context.report_connected(client, owner);
        let mut delayed = None;
        let end = self.exchange(&mut stream, &mut delayed).await;
        gauge.dec();
        // What was read is published, whether its client has the patience or not. It has its turn already.
        if let Some((_, payload)) = delayed.filter(|_| !self.key.is_revoked()) {
            let (unused, _) = mpsc::unbounded_channel();
            if let Err(refusal) = self.publish(&payload, &unused).await {
                self.report_refusal(Refused::Publish, refusal);
            }
        }
        self.outbound_queue.close();
        let (name, sentence) = match end {
            CloseReason::ClientClosed => ("client_closed", "the client closed the socket, or is gone"),
            CloseReason::Close(_, sentence, name) => (name, sentence),
        };
        self.context.report_dropped(client, owner, self.outbound_queue.dropped());
        self.context.report_end(client, owner, name, sentence);
        tracing::debug!(protocol = PROTOCOL, peer = %self.admitted.peer, reason = name, "socket ended");
        match end {
            CloseReason::ClientClosed => upgrade::agree_to_close(stream).await,
            CloseReason::Close(code, reason, _) => upgrade::close(stream, code, reason).await,
        }
    }

    async fn exchange(&self, stream: &mut WebSocket, delayed: &mut Option<DelayedMessage>) -> CloseReason {
        let (answered, mut answers) = mpsc::unbounded_channel();
        let mut in_flight = 0_usize;
        let limits = &self.context.limits;
        let mut state_at =
            self.subscribe.topic().options.initial_state.then(|| Instant::now() + limits.initial_state_delay);
        let mut batch: Vec<Delivery> = Vec::new();
        let mut pinged = false;
        let mut silence_ends = Instant::now() + limits.websocket_ping_interval;
        loop {
            if self.key.is_revoked() {
                return revoked();
            }
            if let Err(end) = self.send_waiting(stream, &mut batch).await {
                return end;
            }
            tokio::select! {
                message = stream.recv(), if delayed.is_none() && in_flight < limits.publishes_in_flight_max => {
                    let message = match message {
                        Some(Ok(message)) => message,
                        Some(Err(error)) => return broken(&error),
                        None => return CloseReason::ClientClosed,
                    };
                    pinged = false;
                    silence_ends = Instant::now() + limits.websocket_ping_interval;
                    let payload = match message {
                        Message::Text(text) => Bytes::from(text),
                        Message::Binary(bytes) => bytes,
                        Message::Ping(_) | Message::Pong(_) => continue,
                        Message::Close(_) => return CloseReason::ClientClosed,
                    };
                    let principal = self.subscribe.principal();
                    let turn =
                        self.context.rates.publish_in_turn(self.admitted.address(), &principal.key);
                    let submitted = match turn {
                        Ok(Duration::ZERO) => self.publish(&payload, &answered).await,
                        Ok(wait) => {
                            self.context.report_throttled(client_of(&self.admitted), owner_of(principal));
                            *delayed = Some((Instant::now() + wait, payload));
                            continue;
                        }
                        Err(refusal) => Err(refusal),
                    };
                    match submitted {
                        Ok(()) => in_flight += 1,
                        Err(refusal) => if let Err(end) = self.answer(stream, &refusal).await {
                            return end;
                        },
                    }
                }
                () = until(delayed.as_ref().map(|(at, _)| *at)) => {
                    let Some((_, payload)) = delayed.take() else { continue };
                    // It was not listened to meanwhile.
                    silence_ends = Instant::now() + limits.websocket_ping_interval;
                    match self.publish(&payload, &answered).await {
                        Ok(()) => in_flight += 1,
                        Err(refusal) => if let Err(end) = self.answer(stream, &refusal).await {
                            return end;
                        },
                    }
                }
                Some(outcome) = answers.recv() => {
                    in_flight -= 1;
                    match outcome {
                        Ok(()) => self.context.metrics.publishes.with_label_values(&[PROTOCOL]).inc(),
                        Err(refusal) => if let Err(end) = self.answer(stream, &refusal).await {
                            return end;
                        },
                    }
                }
                () = self.wake.notified() => {}
                () = until(state_at) => {
                    state_at = match self.send_state(stream).await {
                        Ok(is_sent) => (!is_sent).then(|| Instant::now() + super::STATE_RETRY),
                        Err(end) => return end,
                    };
                }
                () = tokio::time::sleep_until(silence_ends), if delayed.is_none() => {
                    if pinged {
                        return CloseReason::Close(close_code::AWAY, "no answer to a ping", "ping");
                    }
                    if let Err(end) = self.send(stream, Message::Ping(Bytes::new())).await {
                        return end;
                    }
                    pinged = true;
                    silence_ends = Instant::now() + limits.websocket_ping_interval;
                }
                () = self.admitted.stop.cancelled() => return stopping(),
            }
        }
    }

    /// Publishes a message; `answered` receives the outcome, unless it is refused at once.
    async fn publish(&self, payload: &Bytes, answered: &PublishResults) -> Result<(), BrokerError> {
        let answered = answered.clone();
        let on_stored = move |outcome: Result<(), BrokerError>| {
            // The socket may be gone by now; then the outcome is dropped.
            let _ = answered.send(outcome);
            None
        };
        let publish = self.publish.as_ref().map_err(BrokerError::clone)?;
        self.context.pubsub.publish(publish, payload, on_stored).await
    }

    /// Sends every notification that waits.
    async fn send_waiting(
        &self,
        stream: &mut WebSocket,
        batch: &mut Vec<Delivery>,
    ) -> Result<(), CloseReason> {
        loop {
            let state = self.outbound_queue.take(batch);
            if state == OutboundQueueState::Overflowed {
                let reason = "too slow: more notifications waited than the server keeps";
                return Err(CloseReason::Close(close_code::POLICY, reason, "slow_consumer"));
            }
            if batch.is_empty() {
                return Ok(());
            }
            let count = batch.len() as u64;
            for delivery in batch.drain(..) {
                self.send_document(stream, delivery.body).await?;
            }
            self.context.metrics.deliveries.with_label_values(&[PROTOCOL]).inc_by(count);
        }
    }

    /// Sends, but waits neither for ever nor past the server's stop.
    async fn send(&self, stream: &mut WebSocket, message: Message) -> Result<(), CloseReason> {
        let mut sending = pin!(stream.send(message));
        let mut silence = pin!(tokio::time::sleep(self.context.limits.websocket_ping_interval));
        loop {
            tokio::select! {
                sent = &mut sending => return sent.map_err(|_| CloseReason::ClientClosed),
                () = self.admitted.stop.cancelled() => return Err(stopping()),
                // A task that is woken here checks all of its work.
                () = self.wake.notified() => if self.key.is_revoked() {
                    return Err(revoked());
                },
                () = &mut silence => {
                    return Err(CloseReason::Close(close_code::POLICY, "too slow: nothing was taken for a while", "slow_consumer"));
                }
            }
        }
    }

    async fn send_document(&self, stream: &mut WebSocket, body: Bytes) -> Result<(), CloseReason> {
        let Ok(text) = Utf8Bytes::try_from(body) else {
            tracing::error!("a document that is not UTF-8 was about to be sent");
            return Ok(());
        };
        self.send(stream, Message::Text(text)).await
    }

    /// Says whether the state is done with; if not, the database has no time for it now.
    async fn send_state(&self, stream: &mut WebSocket) -> Result<bool, CloseReason> {
        match self.context.pubsub.initial_state(&self.subscribe).await {
            Ok(Some(body)) if self.subscribe.topic().options.marks_state => {
                self.send(stream, Message::Binary(body)).await.map(|()| true)
            }
            Ok(Some(body)) => self.send_document(stream, body).await.map(|()| true),
            Ok(None) => Ok(true),
            Err(BrokerError::TooManyScans) => Ok(false),
            Err(refusal) => {
                self.report_refusal(Refused::InitialState, refusal);
                Ok(true)
            }
        }
    }

    fn report_refusal(&self, refused: Refused, refusal: BrokerError) {
        let topic = &self.subscribe.topic().topic;
        let rejected = LoggedError::on_topic(refusal, self.subscribe.principal(), topic);
        self.context.report_refusal(client_of(&self.admitted), refused, &rejected);
    }

    /// Tells the client why its message was not published.
    async fn answer(&self, stream: &mut WebSocket, refusal: &BrokerError) -> Result<(), CloseReason> {
        self.report_refusal(Refused::Publish, refusal.clone());
        let document = refusal.document().with_base(&self.url);
        self.send_document(stream, document.to_json().into()).await
    }
}

/// The client of a socket, for reports.
fn client_of(admitted: &AcceptedConnection) -> Client<'static> {
    Client { protocol: PROTOCOL, address: admitted.address(), client_id: None }
}

fn revoked() -> CloseReason {
    CloseReason::Close(close_code::POLICY, "the API key was revoked", "revoked")
}

fn stopping() -> CloseReason {
    CloseReason::Close(upgrade::RESTART.0, upgrade::RESTART.1, "stopping")
}

fn broken(error: &axum::Error) -> CloseReason {
    match upgrade::broken_rule(error) {
        Some((code, reason)) => CloseReason::Close(code, reason, "protocol"),
        None => CloseReason::ClientClosed,
    }
}

/// Waits until then, or for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => tokio::time::sleep(Duration::MAX).await,
    }
}
