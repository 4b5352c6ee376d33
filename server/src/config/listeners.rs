//! Settings of the listeners: addresses and certificates.

use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    str::FromStr,
};

use clap::Args;

/// The flags below `Listeners` in the help.
#[derive(Debug, Args)]
#[command(next_help_heading = "Listeners")]
pub struct ListenerSettings {
    #[command(flatten)]
    pub http: HttpListener,

    /// The address of MQTT over TCP: HOST:PORT or `off`.
    ///
    /// The default is for this machine only, as that of --http.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1883")]
    pub mqtt: Listen,

    /// The address of everything that --http serves, over TLS (HTTPS and WSS): HOST:PORT or `off`.
    ///
    /// 8443 is usual, 443 in production.
    #[arg(long, value_name = "HOST:PORT", default_value = "off")]
    pub https: Listen,

    /// The address of MQTT over TLS: HOST:PORT or `off`. 8883 is usual.
    #[arg(long, value_name = "HOST:PORT", default_value = "off")]
    pub mqtts: Listen,

    /// Certificate chains of the TLS listeners: PEM files, separated by commas, each with the server's own certificate
    /// first.
    ///
    /// A client receives the chain that fits the name it asks for (SNI), and otherwise the first.
    /// Files that change are read again within seconds, or at once on SIGHUP.
    /// Without any, an authority and a certificate for development are made in the folder `tls` of --data.
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub tls_cert: Vec<PathBuf>,

    /// The private keys of --tls-cert: PEM files without a passphrase, in the same order.
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub tls_key: Vec<PathBuf>,
}

/// The flag that `health` reads too.
#[derive(Debug, Args)]
pub struct HttpListener {
    /// The address of REST, native WebSocket, MQTT over WebSocket (/mqtt), the SDK and health: HOST:PORT or `off`.
    ///
    /// The reference (/docs) and the metrics are there too.
    /// Port 0 takes a free one, which the `ready` line names.
    /// The default is for this machine only, since nothing is encrypted.
    #[arg(id = "http", long = "http", value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pub listen: Listen,
}

/// An address to listen on, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// Do not listen.
    Off,
    /// Listen here; port 0 lets the system choose.
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.to_socket_addrs()
            .ok()
            .and_then(|mut addresses| addresses.next())
            .map(Self::At)
            .ok_or_else(|| "an address is HOST:PORT, such as 127.0.0.1:8080 or [::]:8080, or `off`".into())
    }
}
