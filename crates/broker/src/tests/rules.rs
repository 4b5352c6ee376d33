//! Tests of the rules in process, with the real store and the real bus: what each call decides, without a socket.
//!
//! A black-box test shows that a rule holds on the wire; these show each case of it, within seconds of an edit.

mod commands;
mod limits;
mod notifications;
mod paths;
mod races;
mod sessions;
mod visibility;
mod world;
