//! One connection from its first byte to its end.
//!
//! Here is timing and buffering: when to read, when to write, how long to wait. Reading stops while too many publishes
//! wait for their commit, and encoding stops while the client does not read; neither ever stops the other.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use thng_pubsub_protocol::mqtt::{
    Connect, ConnectCode, Decoder, Packet, PacketError, PacketType, ProtocolLevel, Side,
};
use tokio::{sync::Notify, time::Instant};

use super::{
    connect::{self, LastWill},
    disconnect_reason::DisconnectReason,
    session::{Session, connack, keep_alive_timeout},
    sessions::SessionSlot,
    signals::{Signal, Signals},
    wire::{BrokenRule, Outgoing, Wire},
};
use crate::{
    Context,
    accept::AcceptedConnection,
    client_reports::{Client, Refused},
    logged_error::{LoggedError, shown},
};
use thng_pubsub_broker::{
    BrokerError,
    client_events::owner_of,
    identity::Principal,
    pubsub::{SessionNumber, StoredSession},
};

/// Bytes that may wait in the write buffer before encoding pauses. Large enough to fill a socket's buffer in one go.
const WRITE_BUFFER_BYTES: usize = 256 * 1024;

/// Bytes of a CONNECT: a client without a verified key gets no more memory than this. Client id, key and a will
/// of some KiB fit.
const CONNECT_BYTES_MAX: usize = 16 * 1024;

/// Bytes that are a sign of life without a whole packet [MQTT-3.1.2-24]: a large packet on a slow line may take longer
/// than the keep alive. A client that sends single bytes counts as silent.
const SIGN_OF_LIFE_BYTES: usize = 1024;

/// Bytes that are read while a publish waits for its turn, for what may overtake it.
const LOOKED_AHEAD_BYTES: usize = 16 * 1024;

/// How long a client that takes over waits for the connection before it to end.
const TAKE_OVER_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

/// How long a connection that ends may take to say its last words.
const CLOSE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

/// Serves one client until it leaves, breaks the rules, or the server stops.
pub async fn serve(
    context: Arc<Context>,
    wire: impl Wire,
    protocol: &'static str,
    admitted: AcceptedConnection,
) {
    let number = context.mqtt_sessions.number();
    let mut connection = Connection {
        decoder: Decoder::new(Side::Client, CONNECT_BYTES_MAX.min(context.limits.message_bytes_max)),
        context: Arc::clone(&context),
        wire,
        protocol,
        input: Vec::new(),
        out: Outgoing::default(),
        wake: Arc::default(),
        admitted,
        overtaken: 0,
        client: Box::new(ConnectedClient { number, id: None, principal: None }),
    };
    let end = connection.run().await;
    if matches!(end, DisconnectReason::Stopping) {
        connection.wire.will_restart();
    }
    connection.flush_and_close().await;
    let peer = connection.admitted.peer;
    let reason = end.reason();
    let owner = connection.client.principal.as_deref();
    context.report_end(
        connection.client(),
        owner.map(owner_of).unwrap_or_default(),
        reason,
        &end.to_string(),
    );
    match end {
        DisconnectReason::Disconnect
        | DisconnectReason::ConnectionLost
        | DisconnectReason::Stopping
        | DisconnectReason::TakenOver => {
            tracing::debug!(protocol, connection = number, %peer, reason, "{end}");
        }
        DisconnectReason::Protocol(_)
        | DisconnectReason::PublishRefused(_)
        | DisconnectReason::Revoked
        | DisconnectReason::SessionEvicted
        | DisconnectReason::Unavailable
        | DisconnectReason::RateLimited(_)
        | DisconnectReason::SlowConsumer
        | DisconnectReason::KeepAlive
        | DisconnectReason::ConnectTimeout
        | DisconnectReason::ConnectRefused(_) => {
            if let Some(suppressed) = context.refusal_log.admit() {
                tracing::info!(protocol, connection = number, %peer, reason, suppressed, "connection ended: {end}");
            }
        }
    }
}

struct Connection<W> {
    context: Arc<Context>,
    wire: W,
    protocol: &'static str,
    decoder: Decoder,
    /// Received and not decoded yet.
    input: Vec<u8>,
    out: Outgoing,
    /// Notified by the bus and by the writer when the session has work.
    wake: Arc<Notify>,
    admitted: AcceptedConnection,
    /// Bytes of the input in which everything that may overtake a publish has done so.
    overtaken: usize,
    /// Boxed, to keep the task small.
    client: Box<ConnectedClient>,
}

/// The identity of a client for reports.
struct ConnectedClient {
    /// Of the connection.
    number: u64,
    /// `None` before its CONNECT is decoded.
    id: Option<Arc<str>>,
    /// `None` before it is authenticated, and where it has no key.
    principal: Option<Arc<Principal>>,
}

/// What came first.
enum Wakeup {
    /// So many bytes.
    Received(usize),
    /// There is space again behind what filled the write buffer.
    Sent,
    Woken,
    Due,
    Ended(DisconnectReason),
}

/// What an accepted CONNECT leaves behind.
struct EstablishedSession {
    session: Session,
    slot: Option<SessionSlot>,
    keep_alive_timeout: Option<std::time::Duration>,
    will: Option<Box<LastWill>>,
}

impl<W: Wire> Connection<W> {
    async fn run(&mut self) -> DisconnectReason {
        // Large or rare state is boxed: a task always has the size of its largest state.
        let mut accepted = match Box::pin(self.connect()).await {
            Ok(accepted) => accepted,
            Err(end) => return end,
        };
        let end = self.serve_session(&mut accepted).await;
        Box::pin(accepted.session.save_on_disconnect()).await;
        // A connection that takes over finds these resources free.
        let EstablishedSession { session, slot, will, .. } = *accepted;
        drop(session);
        if let Some(slot) = &slot {
            self.context.mqtt_sessions.release(slot);
        }
        if end != DisconnectReason::Disconnect
            && let Some(will) = will
        {
            Box::pin(will.publish(&self.context, self.client())).await;
        }
        end
    }

    /// Waits for CONNECT and answers it.
    async fn connect(&mut self) -> Result<Box<EstablishedSession>, DisconnectReason> {
        let deadline = Instant::now() + self.context.limits.connect_timeout;
        let stop = self.admitted.stop.clone();
        let mut signals = pin!(Signals::new(&stop, None, deadline));
        loop {
            match self.decoder.frame(&self.input) {
                Ok(Some(frame)) if frame.packet_type != PacketType::Connect => {
                    return Err(DisconnectReason::Protocol(
                        "the first packet was not CONNECT [MQTT-3.1.0-1]",
                    ));
                }
                Ok(_) => {}
                Err(error) => return Err(DisconnectReason::Protocol(error.reason())),
            }
            let input = std::mem::take(&mut self.input);
            match self.decoder.decode(&input) {
                Ok(Some((Packet::Connect(connect), used))) => {
                    let accepted = self.accept(&connect).await?;
                    self.input = input[used..].to_vec();
                    return Ok(Box::new(accepted));
                }
                Ok(Some(_)) => {
                    return Err(DisconnectReason::Protocol(
                        "the first packet was not CONNECT [MQTT-3.1.0-1]",
                    ));
                }
                Ok(None) => self.input = input,
                Err(PacketError::UnacceptableProtocolLevel) => {
                    connack(ConnectCode::UnacceptableProtocolVersion, false, &mut self.out.bytes);
                    let sentence = "the protocol level is neither 3.1 nor 3.1.1";
                    self.context.report_unacceptable(self.client(), "protocol_level", sentence);
                    return Err(DisconnectReason::ConnectRefused(sentence));
                }
                Err(error) => return Err(DisconnectReason::Protocol(error.reason())),
            }
            match self.next_wakeup(signals.as_mut(), true, true).await {
                Wakeup::Due => return Err(DisconnectReason::ConnectTimeout),
                Wakeup::Ended(end) => return Err(end),
                Wakeup::Received(_) | Wakeup::Sent | Wakeup::Woken => {}
            }
        }
    }

    /// Decides about a CONNECT and puts the CONNACK into the buffer.
    async fn accept(&mut self, connect: &Connect<'_>) -> Result<EstablishedSession, DisconnectReason> {
        self.decoder.level = Some(connect.level);
        self.decoder.max_packet_bytes = self.context.limits.message_bytes_max;
        // For reports only, and kept as long as the connection.
        let id: Arc<str> = shown(connect.client_id).into();
        self.client.id = Some(Arc::clone(&id));
        let key = self.wire.take_key();
        let (principal, will) = match connect::examine(&self.context, self.client(), connect, key).await {
            Ok(admitted) => admitted,
            Err((code, why)) => {
                connack(code, false, &mut self.out.bytes);
                return Err(DisconnectReason::ConnectRefused(why));
            }
        };
        self.client.principal.clone_from(&principal);
        let principal = match principal {
            None => None,
            Some(principal) => match self.context.identity.lease_key(&principal, &self.wake) {
                Ok(lease) => Some((principal, lease)),
                Err(refusal) => return Err(self.reject(None, refusal)),
            },
        };
        let slot = principal.as_ref().filter(|_| !connect.client_id.is_empty()).map(|(principal, _)| {
            self.context.mqtt_sessions.enter(principal.key, connect.client_id, self.client.number)
        });
        let opened = match (&principal, &slot) {
            (Some((principal, _)), Some(slot)) => open_session(&self.context, connect, principal, slot).await,
            _ => Ok(None),
        };
        let durable = match opened {
            Ok(durable) => durable,
            Err(refusal) => return Err(self.reject(slot.as_ref(), refusal)),
        };
        let is_present = durable.as_ref().is_some_and(|(_, stored)| stored.is_some());
        let from = (self.protocol, self.admitted.address(), id);
        let mut session = Session::new(Arc::clone(&self.context), from, principal, Arc::clone(&self.wake));
        if let Some((number, stored)) = durable
            && let Err(refusal) = session.resume(number, connect.client_id, stored).await
        {
            if let Some(principal) = &session.principal {
                self.context.pubsub.leave_session(principal.account, number).await;
            }
            return Err(self.reject(slot.as_ref(), refusal));
        }
        if session.principal.is_some() {
            self.wire.authenticated();
        }
        let owner = session.principal.as_deref().map(owner_of).unwrap_or_default();
        self.context.report_connected(self.client(), owner);
        let tells = connect.level == ProtocolLevel::V3_1_1;
        connack(ConnectCode::Accepted, is_present && tells, &mut self.out.bytes);
        Ok(EstablishedSession {
            session,
            slot,
            keep_alive_timeout: keep_alive_timeout(connect.keep_alive_s),
            will,
        })
    }

    /// Refuses a CONNECT whose key is known.
    fn reject(&mut self, slot: Option<&SessionSlot>, refusal: BrokerError) -> DisconnectReason {
        if let Some(slot) = slot {
            self.context.mqtt_sessions.release(slot);
        }
        connack(connect::code(&refusal), false, &mut self.out.bytes);
        let reason = refusal.reason();
        let rejected = LoggedError::new(refusal, self.client.principal.as_deref());
        self.context.report_refusal(self.client(), Refused::Connect, &rejected);
        DisconnectReason::ConnectRefused(reason)
    }

    /// The client, for reports.
    fn client(&self) -> Client<'_> {
        let client_id = self.client.id.as_deref();
        Client { protocol: self.protocol, address: self.admitted.address(), client_id }
    }

    /// Everything between CONNACK and the end.
    async fn serve_session(&mut self, accepted: &mut EstablishedSession) -> DisconnectReason {
        let session = &mut accepted.session;
        let taken_over = accepted.slot.as_ref().map(|slot| slot.taken_over.clone());
        let mut last_received = Instant::now();
        let mut partial_bytes = 0;
        let stop = self.admitted.stop.clone();
        let mut signals = pin!(Signals::new(&stop, taken_over.as_ref(), last_received));
        loop {
            match self.process(session).await {
                Ok(true) => (last_received, partial_bytes) = (Instant::now(), 0),
                Ok(false) => {}
                Err(end) => return end,
            }
            // A client whose input is not read is not silent.
            let is_throttled = session.is_throttled();
            let keep_alive_timeout = accepted.keep_alive_timeout.filter(|_| !is_throttled);
            let silence_ends =
                keep_alive_timeout.map(|keep_alive_timeout| last_received + keep_alive_timeout);
            let due = [silence_ends, session.next_due()].into_iter().flatten().min();
            if let Some(due) = due {
                signals.as_mut().set_due(due);
            }
            let may_read = session.may_read() && (!is_throttled || self.input.len() < LOOKED_AHEAD_BYTES);
            match self.next_wakeup(signals.as_mut(), may_read, due.is_some()).await {
                Wakeup::Received(bytes) => {
                    partial_bytes += bytes;
                    if partial_bytes >= SIGN_OF_LIFE_BYTES {
                        (last_received, partial_bytes) = (Instant::now(), 0);
                    }
                }
                Wakeup::Sent | Wakeup::Woken => {}
                Wakeup::Due => {
                    let now = Instant::now();
                    if silence_ends.is_some_and(|end| end <= now) {
                        return DisconnectReason::KeepAlive;
                    }
                    Box::pin(session.due(now)).await;
                    if is_throttled {
                        (last_received, partial_bytes) = (now, 0);
                    }
                }
                Wakeup::Ended(DisconnectReason::Stopping) => return self.settle(session).await,
                Wakeup::Ended(end) => return end,
            }
        }
    }

    /// Handles what has been received, acknowledges what has been stored, encodes what is to be sent. Returns whether
    /// there was a packet.
    async fn process(&mut self, session: &mut Session) -> Result<bool, DisconnectReason> {
        session.check_keys().await?;
        // Before anything is read: it frees space for more publishes, and a later completion wakes the task again.
        session.settle(&mut self.out.bytes)?;
        let mut used = 0;
        while session.may_read() && !session.is_throttled() && self.out.waiting() < WRITE_BUFFER_BYTES {
            // Refused publishes wait for nothing: without this other connections would wait for megabytes of them.
            tokio::task::coop::consume_budget().await;
            match self.decoder.decode(&self.input[used..]) {
                Ok(Some((packet, bytes))) => {
                    session.handle(packet, &mut self.out.bytes).await?;
                    // A publish that waits for its turn stays where it is.
                    if !session.is_throttled() {
                        used += bytes;
                    }
                }
                Ok(None) => break,
                Err(error) => return Err(DisconnectReason::Protocol(error.reason())),
            }
            // A publish that needed no commit is answered in its turn.
            if session.publishes.is_next_refused() {
                session.settle(&mut self.out.bytes)?;
            }
        }
        if used == self.input.len() {
            self.input = Vec::new();
        } else if used > 0 {
            self.input.drain(..used);
        }
        if used > 0 {
            self.overtaken = 0;
        }
        let has_overtaken = session.is_throttled() && Box::pin(self.overtake(session)).await?;
        session.settle(&mut self.out.bytes)?;
        session.deliver(&mut self.out.bytes, WRITE_BUFFER_BYTES)?;
        Ok(used > 0 || has_overtaken)
    }

    /// Handles the packets that may overtake a publish that waits for its turn. These are pings, which show the client that
    /// the server is alive, and acknowledgements, without which it would receive nothing more. Other packets stay in
    /// order. Returns whether there was a packet.
    async fn overtake(&mut self, session: &mut Session) -> Result<bool, DisconnectReason> {
        let behind = self.input.split_off(self.overtaken);
        let mut at = 0;
        while self.out.waiting() < WRITE_BUFFER_BYTES {
            // What breaks a rule does so in its turn.
            let Ok(Some((packet, bytes))) = self.decoder.decode(&behind[at..]) else { break };
            if matches!(packet, Packet::PingReq | Packet::PubAck(_)) {
                session.handle(packet, &mut self.out.bytes).await?;
            } else {
                self.input.extend_from_slice(&behind[at..at + bytes]);
            }
            at += bytes;
        }
        let has_overtaken = self.input.len() < self.overtaken + at;
        self.overtaken = self.input.len();
        self.input.extend_from_slice(&behind[at..]);
        Ok(has_overtaken)
    }

    /// The server stops: what was read is still stored and acknowledged, and nothing more is read.
    async fn settle(&mut self, session: &mut Session) -> DisconnectReason {
        while !session.is_settled() {
            self.wake.notified().await;
            if let Err(end) = session.settle(&mut self.out.bytes) {
                return end;
            }
        }
        DisconnectReason::Stopping
    }

    /// Waits for the next thing to do, sending on the side.
    async fn next_wakeup(
        &mut self,
        mut signals: Pin<&mut Signals<'_>>,
        may_read: bool,
        timed: bool,
    ) -> Wakeup {
        let mut woken = pin!(self.wake.notified());
        let (wire, input, out) = (&mut self.wire, &mut self.input, &mut self.out);
        let has_space = may_read && input.len() <= self.decoder.max_packet_bytes;
        // Otherwise nothing waits behind what is sent, and there is no need to look for it.
        let was_full = out.bytes.len() >= WRITE_BUFFER_BYTES;
        std::future::poll_fn(|cx| {
            if !out.is_sent() {
                match wire.poll_send(cx, out) {
                    Poll::Ready(Ok(())) if was_full => return Poll::Ready(Wakeup::Sent),
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => {
                        return Poll::Ready(Wakeup::Ended(DisconnectReason::ConnectionLost));
                    }
                    Poll::Pending => {}
                }
            }
            if has_space {
                match wire.poll_receive(cx, input) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Wakeup::Ended(DisconnectReason::ConnectionLost));
                    }
                    Poll::Ready(Ok(bytes)) => return Poll::Ready(Wakeup::Received(bytes)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Wakeup::Ended(unreadable(&error))),
                    Poll::Pending => {}
                }
            }
            if woken.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wakeup::Woken);
            }
            signals.as_mut().poll_signal(cx, timed).map(|signal| match signal {
                Signal::Stopping => Wakeup::Ended(DisconnectReason::Stopping),
                Signal::TakenOver => Wakeup::Ended(DisconnectReason::TakenOver),
                Signal::Due => Wakeup::Due,
            })
        })
        .await
    }

    /// Sends the last words, such as a CONNACK that refuses, and closes.
    async fn flush_and_close(&mut self) {
        let (wire, out) = (&mut self.wire, &mut self.out);
        let sent = std::future::poll_fn(|cx| {
            if !out.is_sent() && wire.poll_send(cx, out)?.is_pending() {
                return Poll::Pending;
            }
            wire.poll_close(cx).map(Ok::<_, std::io::Error>)
        });
        // A peer that does not take them in time does without.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, sent).await;
    }
}

/// Opens the durable session that a client asks for, or ends the one that it does not want any more.
async fn open_session(
    context: &Context,
    connect: &Connect<'_>,
    principal: &Principal,
    slot: &SessionSlot,
) -> Result<Option<(SessionNumber, Option<StoredSession>)>, BrokerError> {
    // A session that is taken over saves its progress, or all of its messages would be sent again.
    if let Some(earlier) = &slot.earlier {
        let _ = tokio::time::timeout(TAKE_OVER_WAIT, earlier.cancelled()).await;
    }
    if connect.clean_session {
        context.pubsub.end_session(principal, connect.client_id).await?;
        return Ok(None);
    }
    context.pubsub.open_session(principal, connect.client_id).await.map(Some)
}

fn unreadable(error: &std::io::Error) -> DisconnectReason {
    match error.get_ref().and_then(|broken| broken.downcast_ref::<BrokenRule>()) {
        Some(BrokenRule(sentence)) => DisconnectReason::Protocol(sentence),
        None => DisconnectReason::ConnectionLost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{mqtt, testing};
    use thng_pubsub_broker::{Services, testing::TestBroker};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_that_waits_is_small() {
        let TestBroker { pubsub, resources, identity, client_events, metrics, data: _data, .. } =
            TestBroker::open().await;
        let services = Services { pubsub, resources, identity, client_events };
        let context = Arc::new(testing::context(services, metrics));
        let (stream, _) = tokio::io::duplex(1);
        let task = serve(context, mqtt::ByteStream(stream), "mqtt", AcceptedConnection::alone());
        let (task, established) = (size_of_val(&task), size_of::<EstablishedSession>());
        assert!(task <= 1_152 && established <= 768, "{task} bytes and {established}");
    }
}
