//! Effects: the only output of the state machine.
//!
//! A [`Session`] or a [`Channel`](crate::channel::Channel) only queues these; its driver takes them with
//! [`poll_effect`](Session::poll_effect) and performs them in that order, after its own borrow of the session has ended.
//! So a callback that is run on the way may call the session again.

use crate::failure::Failure;
#[cfg(doc)]
use crate::session::Session;

/// One attempt at a connection, counted from 1. What is said about an earlier one is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketId(pub u32);

/// One call that waits for its outcome; the driver's promise. The driver numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallId(pub u32);

/// One callback of a subscription. The driver numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandlerId(pub u32);

/// Something the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Open a connection to the server, and say so with [`socket_opened`](Session::socket_opened).
    Open(SocketId),
    /// Send these bytes: whole packets, or a part of one that is too long for one send.
    Send(SocketId, Vec<u8>),
    /// Send a ping of the WebSocket protocol, and say so with
    /// [`socket_ponged`](crate::channel::Channel::socket_ponged) when it is answered.
    Ping(SocketId),
    /// Close the connection. Its further messages are ignored.
    Close(SocketId),
    /// The call has come to its end.
    Settle(CallId, Result<(), Failure>),
    /// A message for these callbacks, in the order in which they subscribed, and whether it is marked as a state.
    Deliver(Vec<HandlerId>, Vec<u8>, bool),
    /// An event of the connection, for its listeners.
    Report(Notice),
}

/// What happened to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A connection is being opened.
    Connecting,
    /// The server has accepted it.
    Connected,
    /// It is gone, or could not be made.
    Disconnected {
        /// Why.
        failure: Failure,
        /// In how many milliseconds the next attempt starts, [`u64::MAX`] when it waits for the network; `None` when there
        /// is none.
        retry_in_ms: Option<u64>,
    },
    /// A failure without a waiting call.
    Error(Failure),
}
