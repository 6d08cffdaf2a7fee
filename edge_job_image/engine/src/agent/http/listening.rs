//! Where the server listens.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// Listens on a port of one address, or of all; to be called within the runtime.
pub fn listen(host: Option<&str>, port: u16) -> io::Result<TcpListener> {
    let Some(host) = host else {
        // Where there is no IPv6, all addresses are those of IPv4.
        return bound(SocketAddr::from(([0_u16; 8], port)))
            .or_else(|_| bound(SocketAddr::from(([0_u8; 4], port))));
    };
    let address = (host, port).to_socket_addrs()?.next();
    bound(address.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?)
}

fn bound(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
