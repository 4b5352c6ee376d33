//! The session against a server that is played by hand, with simulated time.

mod backpressure;
mod connecting;
mod idling;
mod keeping_alive;
mod publishing;
mod reconnecting;
mod subscribing;
mod world;

use world::{Sent, World};

/// The sentences of the codes are JavaScript's; a code without one would be an exception in the middle of an error.
#[test]
fn every_code_has_its_sentence_in_the_javascript_table() {
    let table = include_str!("../../../npm/src/errors.js");
    for code in super::Code::ALL {
        let entry = format!("\n  {}: (", code.as_str());
        assert!(table.contains(&entry), "npm/src/errors.js has no {}", code.as_str());
    }
}

#[test]
fn a_key_does_not_show_in_debug_output() {
    let mut world = World::new();
    world.connect();
    assert!(!format!("{:?}", world.session).contains(world::KEY));
}
