//! A way to the server that a test can cut, and keep shut for a while: how a client loses its connection without being
//! asked.
//!
//! It passes bytes on and knows nothing of what they mean.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Listens on a port of its own and connects each connection to the server.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    is_open: bool,
    is_over: bool,
    /// Both ends of each connection, also of those that have ended.
    streams: Vec<TcpStream>,
}

impl Proxy {
    /// Starts one that is open.
    #[must_use]
    #[track_caller]
    pub fn start(to: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port can be had");
        let address = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(Mutex::new(State { is_open: true, is_over: false, streams: Vec::new() }));
        let of_thread = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut state = locked(&of_thread);
                if state.is_over {
                    return;
                }
                // Shut, it still accepts and then closes, so that no other process gets the port meanwhile.
                if state.is_open
                    && let Ok(streams) = pass_on(client, to)
                {
                    state.streams.extend(streams);
                }
            }
        });
        Proxy { address, state }
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection, towards both sides; the next one is let through.
    pub fn cut(&self) {
        locked(&self.state).cut();
    }

    /// Ends every connection, and lets none through until [`Proxy::open`].
    pub fn shut(&self) {
        let mut state = locked(&self.state);
        state.is_open = false;
        state.cut();
    }

    /// Lets connections through again.
    pub fn open(&self) {
        locked(&self.state).is_open = true;
    }
}

impl State {
    fn cut(&mut self) {
        for stream in self.streams.drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        locked(&self.state).is_over = true;
        self.cut();
        // The thread checks at the next connection.
        let _ = TcpStream::connect(self.address);
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects a client to the server; returns both ends.
fn pass_on(client: TcpStream, to: SocketAddr) -> io::Result<[TcpStream; 2]> {
    let server = TcpStream::connect(to)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let ends = [client.try_clone()?, server.try_clone()?];
    for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        std::thread::spawn(move || {
            let (mut reader, mut writer) = (&from, &to);
            let _ = io::copy(&mut reader, &mut writer);
            // When one side has ended, the other is ended too.
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    Ok(ends)
}
