//! Lets the server beside a copy of its database run first.

use crate::store::CopySpeed;

/// The lowest priority that a process can give itself.
const LOWEST: i32 = 19;

/// Gives up this process's share of the processors to those that serve clients.
///
/// Without it a copy takes a whole processor, and a write waits until the kernel takes turns.
pub(super) fn adjust(speed: CopySpeed) {
    match speed {
        // Lowering the priority is allowed to each process.
        CopySpeed::BesideServer => {
            let _ = rustix::process::nice(LOWEST);
        }
        CopySpeed::Full => {}
    }
}
