//! Gives the server precedence over a copy of its database.

use crate::store::CopySpeed;

/// On processors that are all busy, a tenth of the time of a process with the usual priority.
///
/// The lowest, 19, is a hundredth: the server's write-ahead log grows until the copy has read its database.
const NICENESS: i32 = 10;

/// Lowers the priority of this process below that of those that serve clients.
///
/// Without it a copy takes a whole processor, and a write waits until the kernel takes turns.
pub(super) fn adjust(speed: CopySpeed) {
    match speed {
        // Lowering the priority is allowed to each process.
        CopySpeed::BesideServer => {
            let _ = rustix::process::nice(NICENESS);
        }
        CopySpeed::Full => {}
    }
}
