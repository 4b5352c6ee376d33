//! Another account does not notice what one account does to the server with the least rights that allow it.
//!
//! Each attack has a server of its own. `src/neighbors.rs` says what is attempted meanwhile, and what it may take.

use thng_pubsub_tests::Server;
use thng_pubsub_tests::neighbors::Neighbors;

#[test]
fn a_quiet_server_disturbs_no_neighbor() {
    let server = Server::start();
    Neighbors::of(&server).during(0, |_, _| {}).assert_undisturbed();
}
