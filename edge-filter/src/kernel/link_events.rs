//! Word from the kernel that a device appeared, changed or vanished.

use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::KernelError;

/// The multicast group of link messages (`RTNLGRP_LINK`, linux/rtnetlink.h).
const LINKS: u32 = 1;

/// The link messages of the network namespace in which it was made.
pub struct LinkEvents(AsyncFd<Socket>);

impl LinkEvents {
    /// Listens from now on. It needs a runtime of tokio around it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn listen() -> Result<Self, KernelError> {
        let listening =
            |error: io::Error| KernelError::new("listen for changes of devices").because(error);
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(listening)?;
        socket.bind(&SocketAddr::new(0, 0)).map_err(listening)?;
        socket.add_membership(LINKS).map_err(listening)?;
        socket.set_non_blocking(true).map_err(listening)?;
        // SAFETY: the socket owns its descriptor, which nobody replaces or closes while it
        // is in there.
        unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }
            .map(Self)
            .map_err(|error| listening(error.into()))
    }

    /// Waits until something happened to any device, and takes all that is known of it
    /// by then: what it is, is asked afterwards, of the kernel as it is.
    ///
    /// # Errors
    /// The socket is broken. Messages that found no room in it are no error: they, too,
    /// say that something happened.
    pub async fn changed(&mut self) -> Result<(), KernelError> {
        loop {
            let mut ready = self.0.readable().await.map_err(broken)?;
            let taken = ready.try_io(|socket| take_all(socket.get_ref()));
            match taken {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => return Err(broken(error)),
                Err(_nothing) => {}
            }
        }
    }
}

/// Reads until nothing is left; `WouldBlock` if there was nothing.
fn take_all(socket: &Socket) -> io::Result<()> {
    let mut any = false;
    loop {
        // What does not fit is cut off: nobody reads it.
        let mut head: &mut [u8] = &mut [0; 16];
        match socket.recv(&mut head, 0) {
            Ok(_) => any = true,
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => any = true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && any => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn broken(error: io::Error) -> KernelError {
    KernelError::new("hear of changes of devices").because(error)
}
