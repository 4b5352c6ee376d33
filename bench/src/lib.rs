//! A load generator for MQTT brokers: what one does with connections, fan-out, fan-in, writes and a steady rate, and what
//! it costs its process.
//!
//! It shares the machine with the broker and costs little itself. One thread with one `epoll` sends messages that are
//! encoded once, and counts deliveries and drops them. Each measurement is a closed loop, except latency,
//! which keeps to a schedule; and each says how many messages got lost. Connections that stop halfway are begun by a
//! second thread, since the first has a schedule to keep.
//!
//! - [`command`]: the binary; [`args`]: its command line
//! - [`scenario`]: what is measured, one file each
//! - [`target`]: which broker, and which topics; `rest` creates what these topics belong to on a thng-pubsub server
//! - `clients`, `client`: MQTT connections and the loop that serves them
//! - `fill`: values in the database before a measurement
//! - `message`: a PUBLISH that is encoded once
//! - `pacer`: wakes in time for a message of a schedule
//! - `process`: what `/proc` says about CPU, memory and disk; `statistics`: percentiles
//! - [`report`]: the table and the JSON document
//!
//! `cargo xtask bench` starts the brokers and calls the binary. Linux only: the cost is read from `/proc`.
#![cfg(target_os = "linux")]

pub mod args;
mod client;
mod clients;
pub mod command;
mod fill;
mod message;
mod pacer;
mod process;
pub mod report;
mod rest;
pub mod scenario;
mod statistics;
pub mod target;
