//! A channel with simulated sockets and a simulated clock.

use super::Channel;
use crate::{
    effect::{CallId, Effect, HandlerId, Notice, SocketId},
    failure::{Code, Failure},
    options::Options,
};

const TOPIC: &str = "/thngs/x/properties?pubStates=1";
const UNUSED_MS: u64 = 10_000;
const REFUSED: &[u8] = br#"{"status":400,"errors":["no"],"code":1,"moreInfo":"/docs"}"#;

/// A driver and a server for one channel.
struct World {
    channel: Channel,
    now: u64,
    open: Vec<SocketId>,
    sockets_opened: u32,
    sent: Vec<String>,
    pings: usize,
    settled: Vec<(u32, Result<(), Failure>)>,
    delivered: Vec<(Vec<u32>, String)>,
    notices: Vec<Notice>,
    last_number: u32,
    /// Bytes in the buffer of the socket; `None` while the network takes all at once.
    buffered: Option<usize>,
}

impl World {
    fn new() -> Self {
        Self::with(Options { idle_timeout_ms: UNUSED_MS as u32, ..Options::default() })
    }

    fn with(options: Options) -> Self {
        Self {
            channel: Channel::new(TOPIC, options),
            now: 1_000_000,
            open: Vec::new(),
            sockets_opened: 0,
            sent: Vec::new(),
            pings: 0,
            settled: Vec::new(),
            delivered: Vec::new(),
            notices: Vec::new(),
            last_number: 0,
            buffered: None,
        }
    }

    /// A channel with one subscriber, whose socket is open.
    fn up() -> (Self, u32) {
        let mut world = Self::new();
        let call = world.subscribe();
        world.accept();
        world.notices.clear();
        (world, call)
    }

    fn subscribe(&mut self) -> u32 {
        self.call(|channel, number, now| channel.subscribe(HandlerId(number), CallId(number), now))
    }

    fn unsubscribe(&mut self, handlers: Option<&[u32]>) -> u32 {
        let handlers: Option<Vec<HandlerId>> =
            handlers.map(|all| all.iter().map(|&it| HandlerId(it)).collect());
        self.call(|channel, number, now| channel.unsubscribe(handlers.as_deref(), CallId(number), now))
    }

    fn publish(&mut self, payload: &str) -> u32 {
        self.call(|channel, number, now| channel.publish(payload.into(), CallId(number), now))
    }

    fn call(&mut self, call: impl FnOnce(&mut Channel, u32, u64)) -> u32 {
        self.last_number += 1;
        call(&mut self.channel, self.last_number, self.now);
        self.run();
        self.last_number
    }

    fn socket(&self) -> SocketId {
        match self.open.as_slice() {
            [socket] => *socket,
            other => panic!("there should be one socket, not {other:?}"),
        }
    }

    fn accept(&mut self) {
        self.channel.socket_opened(self.socket(), self.now);
        self.run();
    }

    fn fail(&mut self, detail: &str) {
        self.channel.socket_failed(self.socket(), detail, self.now);
        self.run();
    }

    fn lose(&mut self) {
        let socket = self.socket();
        self.open.clear();
        self.channel.socket_closed(socket, "WebSocket close code 1006", self.now);
        self.run();
    }

    fn message(&mut self, bytes: &[u8]) {
        self.channel.socket_received(self.socket(), bytes, false, self.now);
        self.run();
    }

    fn wait(&mut self, ms: u64) {
        let end = self.now + ms;
        let mut steps = 0;
        while let Some(due) = self.channel.poll_timeout().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.read_buffered();
            self.channel.handle_timeout(self.now);
            self.run();
            steps += 1;
            assert!(steps < 10_000, "the channel asks for the clock again and again");
        }
        self.now = end;
    }

    fn wait_for_reconnect(&mut self) {
        let before = self.sockets_opened;
        while self.sockets_opened == before {
            let due = self.channel.poll_timeout().expect("the channel waits for its next attempt");
            self.wait(due.saturating_sub(self.now));
        }
    }

    fn run(&mut self) {
        while let Some(effect) = self.next_effect() {
            match effect {
                Effect::Open(socket) => {
                    self.open.push(socket);
                    self.sockets_opened += 1;
                }
                Effect::Close(socket) => self.open.retain(|it| *it != socket),
                Effect::Send(socket, bytes) => {
                    assert_eq!(self.open, [socket], "a message for another socket");
                    self.buffered = self.buffered.map(|buffered| buffered + bytes.len());
                    self.sent.push(String::from_utf8(bytes).unwrap());
                }
                Effect::Ping(socket) => {
                    assert_eq!(self.open, [socket], "a ping for another socket");
                    self.pings += 1;
                }
                Effect::Settle(CallId(call_id), outcome) => {
                    assert!(
                        self.settled.iter().all(|(it, _)| *it != call_id),
                        "call {call_id} is settled twice"
                    );
                    self.settled.push((call_id, outcome));
                }
                Effect::Deliver(handlers, payload, _) => {
                    let handlers = handlers.into_iter().map(|handler| handler.0).collect();
                    self.delivered.push((handlers, String::from_utf8(payload).unwrap()));
                }
                Effect::Report(notice) => self.notices.push(notice),
            }
        }
    }

    fn next_effect(&mut self) -> Option<Effect> {
        let effect = self.channel.poll_effect();
        if effect.is_some() {
            return effect;
        }
        self.read_buffered();
        self.channel.poll_effect()
    }

    fn read_buffered(&mut self) {
        let buffered = self.buffered.unwrap_or(0).try_into().unwrap();
        self.channel.socket_buffered(buffered, self.now);
    }

    fn outcome(&self, call: u32) -> Option<Result<(), Code>> {
        let (_, outcome) = self.settled.iter().find(|(call_id, _)| *call_id == call)?;
        Some(outcome.clone().map_err(|failure| failure.code))
    }

    fn errors<'n>(&'n self) -> Vec<&'n Failure> {
        let error = |notice: &'n Notice| match notice {
            Notice::Error(failure) => Some(failure),
            _ => None,
        };
        self.notices.iter().filter_map(error).collect()
    }
}

#[test]
fn an_open_socket_is_the_subscription() {
    let mut world = World::new();
    assert_eq!(world.sockets_opened, 0, "nothing is opened before the first call");
    let first = world.subscribe();
    let second = world.subscribe();
    assert_eq!((world.outcome(first), world.outcome(second), world.sockets_opened), (None, None, 1));
    world.accept();
    let third = world.subscribe();
    for call in [first, second, third] {
        assert_eq!(world.outcome(call), Some(Ok(())));
    }
    world.message(b"[1]");
    assert_eq!(world.delivered, [(vec![first, second, third], "[1]".to_owned())]);
    assert_eq!(world.notices, [Notice::Connecting, Notice::Connected]);
}

#[test]
fn a_publish_waits_for_the_socket_and_is_a_message_of_its_own() {
    let mut world = World::new();
    let early = [world.publish("1"), world.publish("2")];
    assert_eq!(world.outcome(early[0]), None);
    world.accept();
    let late = world.publish("3");
    assert_eq!(world.sent, ["1", "2", "3"]);
    for call in [early[0], early[1], late] {
        assert_eq!(world.outcome(call), Some(Ok(())));
    }
}

#[test]
fn a_refused_upgrade_rejects_pending_calls_without_retry() {
    for (status, code) in
        [(401, Code::Unauthorized), (403, Code::SubscribeRefused), (404, Code::SubscribeRefused)]
    {
        let mut world = World::new();
        let calls = [world.subscribe(), world.publish("1")];
        world.fail(&format!("Unexpected server response: {status}"));
        for call in calls {
            assert_eq!(world.outcome(call), Some(Err(code)));
        }
        let (_, failure) = &world.settled[0];
        assert_eq!(failure.as_ref().unwrap_err().topic.as_deref(), Some(TOPIC));
        assert!(world.channel.is_ended() && world.open.is_empty() && world.errors().is_empty());
        world.wait(3_600_000);
        assert_eq!(world.sockets_opened, 1);
        let after = world.subscribe();
        assert_eq!(world.outcome(after), Some(Err(code)));
    }
}

#[test]
fn a_status_of_a_wrong_request_is_final_and_others_are_not() {
    let options = Options { retry_first_connection: true, ..Options::default() };
    for status in [400, 405, 410, 426, 451] {
        let mut world = World::with(options.clone());
        let call = world.subscribe();
        world.fail(&format!("Unexpected server response: {status}"));
        assert_eq!(world.outcome(call), Some(Err(Code::SubscribeRefused)), "{status}");
        assert!(world.channel.is_ended());
    }
    for status in [302, 408, 425, 429, 500, 502, 503, 504] {
        let mut world = World::with(options.clone());
        let call = world.subscribe();
        world.fail(&format!("Unexpected server response: {status}"));
        world.wait_for_reconnect();
        world.accept();
        assert_eq!(world.outcome(call), Some(Ok(())), "{status}");
    }
}

#[test]
fn a_failed_first_connection_is_left_to_the_caller() {
    let mut world = World::new();
    let call = world.subscribe();
    world.fail("connect ECONNREFUSED");
    assert_eq!(world.outcome(call), Some(Err(Code::Handshake)));
    assert!(world.channel.is_ended());
    // Browsers may say nothing but `close`, and some servers nothing at all.
    let mut world = World::new();
    let call = world.subscribe();
    world.lose();
    assert_eq!(world.outcome(call), Some(Err(Code::Handshake)));
    let mut world = World::new();
    let call = world.subscribe();
    world.wait(29_999);
    assert_eq!(world.outcome(call), None);
    world.wait(1);
    assert_eq!(world.outcome(call), Some(Err(Code::Timeout)));
    assert!(world.open.is_empty());
}

#[test]
fn a_lost_socket_comes_back_by_itself_a_thousand_times() {
    let (mut world, call) = World::up();
    for round in 0..1_000 {
        world.lose();
        assert!(
            matches!(world.notices.last(), Some(Notice::Disconnected { retry_in_ms: Some(0..=30_000), .. })),
            "round {round}"
        );
        let published = world.publish(&round.to_string());
        assert_eq!(world.outcome(published), None, "it waits");
        world.wait_for_reconnect();
        world.accept();
        assert_eq!(world.outcome(published), Some(Ok(())));
        world.message(b"x");
        world.notices.clear();
    }
    assert_eq!(world.sent.len(), 1_000);
    assert_eq!(world.delivered.len(), 1_000);
    assert!(world.delivered.iter().all(|(handlers, _)| *handlers == [call]));
}

#[test]
fn a_refusal_after_a_loss_ends_the_channel_and_is_reported() {
    let (mut world, _) = World::up();
    world.lose();
    world.wait_for_reconnect();
    world.fail("Unexpected server response: 403");
    assert!(world.channel.is_ended());
    assert_eq!(
        world.errors().iter().map(|failure| failure.code).collect::<Vec<_>>(),
        [Code::SubscribeRefused]
    );
}

#[test]
fn failed_attempts_repeat_while_there_are_handlers() {
    let (mut world, call) = World::up();
    world.lose();
    for _ in 0..50 {
        world.wait_for_reconnect();
        world.fail("");
    }
    world.wait_for_reconnect();
    world.accept();
    world.message(b"back");
    assert_eq!(world.delivered, [(vec![call], "back".to_owned())]);
}

#[test]
fn the_network_coming_back_ends_the_wait() {
    let (mut world, _) = World::up();
    world.lose();
    let before = world.sockets_opened;
    world.channel.wake(world.now);
    world.run();
    assert_eq!(world.sockets_opened, before + 1);
}

#[test]
fn a_refused_publish_is_reported_and_is_no_message() {
    let (mut world, _) = World::up();
    world.message(REFUSED);
    assert!(world.delivered.is_empty());
    let errors = world.errors();
    assert_eq!((errors[0].code, errors[0].topic.as_deref()), (Code::PublishRefused, Some(TOPIC)));
    assert_eq!(errors[0].detail.as_bytes(), REFUSED);
    for message in [&br#"{"status":"COMPLETE","id":"x"}"#[..], br#"[{"status":400}]"#, br#"{"id":1}"#] {
        world.message(message);
    }
    assert_eq!(world.delivered.len(), 3, "documents that are none of errors");
}

#[test]
fn only_the_last_unsubscribe_closes_the_socket() {
    let (mut world, first) = World::up();
    let second = world.subscribe();
    let call = world.unsubscribe(Some(&[first]));
    assert_eq!(world.outcome(call), Some(Ok(())));
    world.message(b"1");
    assert_eq!(world.delivered, [(vec![second], "1".to_owned())]);
    world.unsubscribe(None);
    assert!(world.open.is_empty() && world.channel.is_ended() && world.errors().is_empty());
}

#[test]
fn unsubscribing_before_open_rejects_the_pending_call() {
    let mut world = World::new();
    let first = world.subscribe();
    let second = world.subscribe();
    world.unsubscribe(Some(&[first]));
    assert_eq!((world.outcome(first), world.outcome(second)), (Some(Err(Code::Unsubscribed)), None));
    world.accept();
    assert_eq!(world.outcome(second), Some(Ok(())));
}

#[test]
fn a_publish_that_waits_outlives_the_subscription() {
    let (mut world, _) = World::up();
    world.lose();
    let published = world.publish("1");
    world.unsubscribe(None);
    world.wait_for_reconnect();
    world.accept();
    assert_eq!((world.outcome(published), &*world.sent), (Some(Ok(())), &["1".to_owned()][..]));
    world.wait(UNUSED_MS);
    assert!(world.channel.is_ended() && world.open.is_empty());
}

#[test]
fn a_publish_only_socket_closes_after_the_last_message() {
    let mut world = World::new();
    world.publish("1");
    world.accept();
    world.wait(UNUSED_MS - 1);
    world.publish("2");
    world.wait(UNUSED_MS - 1);
    assert!(!world.channel.is_ended());
    world.wait(1);
    assert!(world.channel.is_ended() && world.open.is_empty() && world.errors().is_empty());
}

#[test]
fn more_publishes_than_the_queue_holds_are_refused() {
    let mut world = World::with(Options { queue_limit: 2, ..Options::default() });
    let calls = [world.publish("1"), world.publish("2"), world.publish("3")];
    assert_eq!(calls.map(|call| world.outcome(call)), [None, None, Some(Err(Code::QueueFull))]);
    world.accept();
    world.publish("4");
    assert_eq!(world.sent, ["1", "2", "4"]);
}

#[test]
fn a_full_buffer_holds_publishes_until_it_drains() {
    let mut world = World::with(Options {
        queue_limit: 2,
        keep_alive_s: 0,
        idle_timeout_ms: UNUSED_MS as u32,
        ..Options::default()
    });
    world.publish("first");
    world.accept();
    world.buffered = Some(0);
    let long = "x".repeat(100_000);
    let calls: Vec<u32> = (0..6).map(|_| world.publish(&long)).collect();
    assert_eq!(world.sent.len(), 4, "the third exceeds the bound");
    assert_eq!(world.outcome(calls[2]), Some(Ok(())));
    assert_eq!([calls[3], calls[4]].map(|call| world.outcome(call)), [None, None]);
    assert_eq!(world.outcome(calls[5]), Some(Err(Code::QueueFull)));
    world.wait(2 * UNUSED_MS);
    assert!(!world.channel.is_ended(), "messages wait");
    world.buffered = None;
    world.wait(100);
    assert_eq!(world.sent.len(), 6);
    assert_eq!([calls[3], calls[4]].map(|call| world.outcome(call)), [Some(Ok(())), Some(Ok(()))]);
}

#[test]
fn an_unused_socket_closes_when_its_bytes_have_left() {
    for stalled_ms in [10, 2 * UNUSED_MS] {
        let options = Options { keep_alive_s: 0, idle_timeout_ms: UNUSED_MS as u32, ..Options::default() };
        let mut world = World::with(options);
        world.publish("1");
        world.accept();
        world.buffered = Some(0);
        world.publish("2");
        world.wait(stalled_ms);
        assert!(!world.channel.is_ended());
        world.buffered = None;
        world.wait(UNUSED_MS);
        assert!(world.channel.is_ended() && world.open.is_empty());
    }
}

#[test]
fn a_canceled_publish_that_waits_is_never_sent() {
    let options = Options { queue_limit: 1, retry_first_connection: true, ..Options::default() };
    let mut world = World::with(options);
    world.subscribe();
    let canceled = world.publish("1");
    world.channel.cancel(CallId(canceled), world.now);
    let kept = world.publish("2");
    assert_eq!([canceled, kept].map(|call| world.outcome(call)), [Some(Err(Code::Aborted)), None]);
    world.accept();
    world.channel.cancel(CallId(kept), world.now);
    assert_eq!((world.outcome(kept), &*world.sent), (Some(Ok(())), &["2".to_owned()][..]));
}

#[test]
fn a_channel_for_a_canceled_publish_alone_ends() {
    let mut world = World::with(Options { retry_first_connection: true, ..Options::default() });
    let call = world.publish("1");
    world.channel.offline(world.now);
    world.channel.cancel(CallId(call), world.now);
    world.run();
    assert_eq!(world.outcome(call), Some(Err(Code::Aborted)));
    assert!(world.channel.is_ended() && world.errors().is_empty());
}

#[test]
fn a_ping_in_a_slow_buffer_is_timed_from_when_it_is_sent() {
    let (mut world, _) = World::up();
    world.buffered = Some(0);
    world.publish(&"x".repeat(100_000));
    for _ in 0..20 {
        world.wait(5_000);
        world.buffered = world.buffered.map(|buffered| buffered - 1_000);
    }
    assert_eq!((world.pings, world.open.len()), (1, 1));
    world.wait(20_000);
    assert!(world.open.is_empty(), "no byte has left for ten seconds, and nothing has come");
}

#[test]
fn a_link_without_pongs_is_given_up() {
    let (mut world, _) = World::up();
    for answered in 1..4 {
        world.wait(50_000);
        assert_eq!(world.pings, answered);
        world.channel.socket_ponged(world.socket(), world.now);
    }
    let socket = world.socket();
    world.wait(60_000);
    assert!(!world.open.contains(&socket));
    let lost = world.notices.iter().find_map(|notice| match notice {
        Notice::Disconnected { failure, retry_in_ms: Some(_) } => Some(failure.code),
        _ => None,
    });
    assert_eq!(lost, Some(Code::Timeout));
}

#[test]
fn where_nothing_can_be_pinged_silence_means_nothing() {
    let mut world = World::with(Options { keep_alive_s: 0, ..Options::default() });
    world.subscribe();
    world.accept();
    world.wait(3_600_000);
    world.channel.wake(world.now);
    world.run();
    assert_eq!((world.pings, world.sockets_opened), (0, 1));
}

#[test]
fn closing_rejects_pending_calls_and_ignores_old_sockets() {
    let mut world = World::new();
    let call = world.subscribe();
    let socket = world.socket();
    world.channel.close(world.now);
    world.run();
    assert_eq!(world.outcome(call), Some(Err(Code::Closed)));
    world.channel.socket_opened(socket, world.now);
    world.channel.socket_received(socket, b"1", false, world.now);
    world.channel.socket_closed(socket, "", world.now);
    world.run();
    assert!(world.delivered.is_empty() && world.channel.is_ended() && world.open.is_empty());
    assert_eq!(world.channel.poll_timeout(), None);
}

#[test]
fn a_first_socket_that_fails_is_opened_again_if_asked() {
    let mut world = World::with(Options { retry_first_connection: true, ..Options::default() });
    let call = world.subscribe();
    world.fail("connect ECONNREFUSED");
    assert_eq!(world.outcome(call), None);
    world.wait_for_reconnect();
    world.accept();
    assert_eq!(world.outcome(call), Some(Ok(())));
}

#[test]
fn a_channel_without_an_idle_timeout_stays_open() {
    let mut world = World::with(Options { keep_alive_s: 0, ..Options::default() });
    world.publish("1");
    world.accept();
    world.wait(3_600_000);
    assert!(!world.channel.is_ended() && world.open.len() == 1);
}

#[test]
fn an_offline_channel_closes_and_waits_for_the_network() {
    let (mut world, _) = World::up();
    world.channel.offline(world.now);
    world.run();
    assert!(world.open.is_empty() && !world.channel.is_ended());
    world.wait(3_600_000);
    assert_eq!(world.sockets_opened, 1);
    world.channel.wake(world.now);
    world.run();
    assert_eq!(world.sockets_opened, 2);
}
