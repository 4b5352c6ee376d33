//! Tests of the server's binary over its sockets, with one module for each transport or subject.

/// The commands of the binary other than `serve`.
mod admin {
    mod backup;
    mod doctor;
    mod export;
    mod keys;
}

/// MQTT clients of other projects.
mod clients {
    mod mosquitto;
    mod paho;
    mod rumqttc;
}

mod documents;

/// Acknowledged writes after a stop, a kill, a full disk and a loss of power.
mod durability {
    mod disk;
    mod kills;
    mod power_loss;
    mod sessions;
    mod stop;
}

/// Malformed, endless and unfinished input, and known attacks.
mod hostile {
    mod fields;
    mod http;
    mod load;
    mod memory;
    mod mqtt;
    mod neighbors;
    mod readers;
    mod rest;
    mod rights;
    mod settings;
    mod slow;
    mod tls;
    mod websocket;
}

/// The bounds of a client, a command and a rate, from both sides.
mod limits {
    mod clients;
    mod commands;
    /// The rates of one key and of one address.
    mod rates {
        mod logins;
        mod publishes;
        mod requests;
        mod server;
    }
}

/// MQTT 3.1 and 3.1.1 over TCP.
mod mqtt {
    /// MQTT 3.1.1 statement by statement.
    mod conformance {
        mod connect;
        mod ends;
        mod packets;
        mod subscribe;
    }
    mod connect;
    mod pub_states;
    mod publish;
    mod rejections;
    /// Durable sessions.
    mod sessions {
        mod client;
        mod limits;
        mod publishes;
        mod resumption;
        mod rights;
    }
    mod subscribe;
}

/// The REST API, with one module for each resource.
mod rest {
    mod access;
    mod accounts;
    mod action_types;
    /// Actions.
    mod actions {
        mod commissioning;
        mod creation;
        mod lists;
        mod locations;
        mod notifications;
        mod world;
    }
    mod applications;
    mod bulk;
    mod collections;
    mod destructive;
    mod devices;
    mod documents;
    mod errors;
    mod explain;
    mod identifiers;
    /// The lists of every resource, and their parameters.
    mod lists {
        mod encoding;
        mod filters;
        mod pages;
        mod parts;
        mod scans;
    }
    mod locations;
    mod openapi;
    mod permissions;
    mod places;
    mod policies;
    mod products;
    mod properties;
    mod rights;
    /// The roles of application users and of operators.
    mod roles {
        mod attempts;
        mod documents;
        mod of_operators;
        mod of_users;
    }
    /// Scopes of resources and their visibility.
    mod scopes {
        mod changes;
        mod conditions;
        mod project_parameter;
        mod visibility;
        mod world;
    }
    mod tasks;
    mod thngs;
    mod users;
}

/// How the server is started, configured and observed.
mod server {
    mod contract;
    mod log;
    mod observation;
    mod origins;
    mod pages;
    mod settings;
}

mod soak;

/// Every transport over TLS.
mod tls {
    mod certificates;
    mod listeners;
}

/// Rules of topics that are the same on every transport.
mod topics {
    mod client_events;
    mod matrix;
    mod options;
    mod revoked_keys;
    mod scopes;
    mod scopes_random;
}

/// The two WebSockets: on the path of a resource, and at `/mqtt`.
mod websocket {
    mod mqtt;
    mod native;
}
