//! The former names of settings, so that a settings file or a variable from before is answered with the present name.

/// Former and present name of each renamed setting, as in CHANGELOG.md.
const FORMER: [(&str, &str); 17] = [
    ("held-per-key-max", "connections-per-key-max"),
    ("kept-messages-max", "session-queue-messages-max"),
    ("kept-bytes-max", "session-queue-bytes-max"),
    ("outbox-messages-max", "outbound-queue-messages-max"),
    ("outbox-bytes-max", "outbound-queue-bytes-max"),
    ("connects-per-key", "connection-rate-per-key"),
    ("connects-per-address", "connection-rate-per-address"),
    ("requests-per-key", "request-rate-per-key"),
    ("requests-per-address", "request-rate-per-address"),
    ("publishes-per-key", "publish-rate-per-key"),
    ("publishes-per-address", "publish-rate-per-address"),
    ("publish-wait-s", "publish-delay-max-s"),
    ("refused-publish", "on-rejected-publish"),
    ("store-readers", "database-readers"),
    ("websocket-ping-s", "websocket-ping-interval-s"),
    ("page-max", "page-size-max"),
    ("bulk-max", "bulk-size-max"),
];

/// The present name of a setting, both as on the command line without `--`; `None` for a name that was never used.
pub(super) fn present_name(former: &str) -> Option<&'static str> {
    FORMER.iter().find(|(name, _)| *name == former).map(|(_, present)| *present)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_former_name_has_a_setting_of_today() {
        let changelog = include_str!("../../../CHANGELOG.md");
        let command = crate::config::settings();
        let settings: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
        for (former, present) in FORMER {
            assert!(settings.contains(&present) && !settings.contains(&former), "{former}: {present}");
            assert!(changelog.contains(&format!("| `--{former}` | `--{present}` |")), "{former}");
        }
    }
}
