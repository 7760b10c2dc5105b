//! Netlink: a request, and everything that answers it.

use std::fmt::Debug;
use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};

/// Messages are padded to this many bytes (`NLMSG_ALIGNTO`).
const ALIGNMENT: usize = 4;

/// Everything that the kernel lists.
///
/// # Errors
/// The kernel refuses.
pub(super) fn dump<T: NetlinkSerializable + NetlinkDeserializable + Debug>(
    protocol: isize,
    message: T,
) -> io::Result<Vec<T>> {
    ask(protocol, message, NLM_F_DUMP, false)
}

/// What the kernel lists and what has the values of the request's header. Where tables can
/// be large, this spares copying what nobody wants (Linux 4.20, `NETLINK_GET_STRICT_CHK`).
///
/// # Errors
/// The kernel refuses.
pub(super) fn dump_selected<T: NetlinkSerializable + NetlinkDeserializable + Debug>(
    protocol: isize,
    message: T,
) -> io::Result<Vec<T>> {
    ask(protocol, message, NLM_F_DUMP, true)
}

/// Asks for one thing.
///
/// # Errors
/// The kernel refuses.
pub(super) fn get<T: NetlinkSerializable + NetlinkDeserializable + Debug>(
    protocol: isize,
    message: T,
) -> io::Result<T> {
    ask(protocol, message, NLM_F_ACK, false)?
        .pop()
        .ok_or_else(|| io::Error::other("the kernel's answer is empty"))
}

/// Has the kernel change something; `flags` are `NLM_F_*` beyond the usual.
///
/// # Errors
/// The kernel refuses.
pub(super) fn change<T: NetlinkSerializable + NetlinkDeserializable + Debug>(
    protocol: isize,
    message: T,
    flags: u16,
) -> io::Result<()> {
    ask(protocol, message, NLM_F_ACK | flags, false).map(drop)
}

fn ask<T: NetlinkSerializable + NetlinkDeserializable + Debug>(
    protocol: isize,
    message: T,
    flags: u16,
    select: bool,
) -> io::Result<Vec<T>> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    header.sequence_number = 1;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);

    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    if select {
        socket.set_netlink_get_strict_chk(true)?;
    }
    socket.send(&bytes, 0)?;
    let mut answers = Vec::new();
    loop {
        let (received, _) = socket.recv_from_full()?;
        let mut rest = &received[..];
        while !rest.is_empty() {
            let answer = NetlinkMessage::<T>::deserialize(rest).map_err(io::Error::other)?;
            let length = (answer.header.length as usize).next_multiple_of(ALIGNMENT);
            rest = rest.get(length..).unwrap_or_default();
            match answer.payload {
                NetlinkPayload::InnerMessage(message) => answers.push(message),
                NetlinkPayload::Error(error) if error.code.is_some() => {
                    return Err(error.to_io());
                }
                NetlinkPayload::Done(end) if end.code < 0 => {
                    return Err(io::Error::from_raw_os_error(-end.code));
                }
                // An error of 0 is the acknowledgement.
                NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answers),
                other => return Err(io::Error::other(format!("unexpected answer {other:?}"))),
            }
        }
    }
}
