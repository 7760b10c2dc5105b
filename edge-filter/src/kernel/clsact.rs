//! A program on the egress side of a clsact qdisc: how kernels before 6.6 run
//! programs on what leaves a device.
//!
//! Such a filter ends with its device, not with a process, and cannot be pinned.
//! Its program is: a filter is ours if it runs a program that we have pinned.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::tc::{
    TcAttribute, TcBpfFlags, TcFilterBpf, TcFilterBpfOption, TcHandle, TcMessage, TcOption,
};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink;

/// A filter, of whatever kind, at a device's egress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    device_index: u32,
    priority: u32,
    handle: u32,
    /// The kernel's number of the program, if it is one of BPF.
    pub(super) program_id: Option<u32>,
    name: Option<String>,
}

/// The qdisc that holds the filters of both sides.
const CLSACT: &str = "clsact";
/// Before everybody else's.
const PRIORITY: u32 = 1;
/// The name of a filter, and that of one that needed a qdisc made: it takes the
/// qdisc along when it goes.
const NAME: &str = "edge-filter";
const NAME_WITH_QDISC: &str = "edge-filter+qdisc";
/// `ETH_P_ALL` in network byte order.
const ALL_PROTOCOLS: u32 = 0x0003_u16.to_be() as u32;

const EGRESS: TcHandle = TcHandle {
    major: TcHandle::CLSACT.major,
    minor: TcHandle::MIN_EGRESS,
};
const INGRESS: TcHandle = TcHandle {
    major: TcHandle::CLSACT.major,
    minor: TcHandle::MIN_INGRESS,
};

/// Lets `program` decide on what leaves a device.
///
/// # Errors
/// The kernel has no clsact or no BPF classifier, or the place is taken.
pub(super) fn attach(device_index: u32, program: BorrowedFd<'_>) -> io::Result<()> {
    let makes_qdisc = make_qdisc(device_index)?;
    let name = if makes_qdisc { NAME_WITH_QDISC } else { NAME };
    let added = set(device_index, 0, name, program, NLM_F_CREATE | NLM_F_EXCL);
    if added.is_err() && makes_qdisc {
        let _ = remove_qdisc(device_index);
    }
    added
}

/// Puts `program` in the place of the one that `filter` runs: every packet meets one
/// or the other.
///
/// # Errors
/// The kernel refuses.
pub(super) fn replace(filter: &Filter, program: BorrowedFd<'_>) -> io::Result<()> {
    let name = filter.name.as_deref().unwrap_or(NAME);
    set(filter.device_index, filter.handle, name, program, 0)
}

/// Removes `filter`, and the qdisc if it was made for it and holds nothing else.
///
/// # Errors
/// The kernel refuses.
pub(super) fn detach(filter: &Filter) -> io::Result<()> {
    let mut message = message(filter.device_index, EGRESS);
    message.header.handle = filter.handle.into();
    message.header.info = filter.priority << 16 | ALL_PROTOCOLS;
    message
        .attributes
        .push(TcAttribute::Kind(TcFilterBpf::KIND.to_owned()));
    netlink::change(NETLINK_ROUTE, Message::DelTrafficFilter(message), 0)?;
    let is_last = || -> io::Result<bool> {
        let index = filter.device_index;
        Ok(filters(index, EGRESS)?.is_empty() && filters(index, INGRESS)?.is_empty())
    };
    if filter.name.as_deref() == Some(NAME_WITH_QDISC) && is_last()? {
        remove_qdisc(filter.device_index)?;
    }
    Ok(())
}

/// The filters at the egress of a device, in the order in which they run; none where
/// it has no clsact qdisc.
///
/// # Errors
/// The kernel refuses to tell.
pub(super) fn egress(device_index: u32) -> io::Result<Vec<Filter>> {
    filters(device_index, EGRESS)
}

fn filters(device_index: u32, side: TcHandle) -> io::Result<Vec<Filter>> {
    let request = Message::GetTrafficFilter(message(device_index, side));
    let answers = match netlink::dump(NETLINK_ROUTE, request) {
        // There is no such qdisc.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Vec::new(),
        answers => answers?,
    };
    let filters = answers.into_iter().filter_map(|answer| match answer {
        // One with handle 0 is the head of a priority, with no program of its own.
        Message::NewTrafficFilter(found) if u32::from(found.header.handle) != 0 => {
            Some(describe(device_index, &found))
        }
        _ => None,
    });
    Ok(filters.collect())
}

fn describe(device_index: u32, found: &TcMessage) -> Filter {
    let mut filter = Filter {
        device_index,
        priority: found.header.info >> 16,
        handle: found.header.handle.into(),
        program_id: None,
        name: None,
    };
    for attribute in &found.attributes {
        let TcAttribute::Options(options) = attribute else {
            continue;
        };
        for option in options {
            match option {
                TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => filter.program_id = Some(*id),
                TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => {
                    filter.name = Some(name.clone());
                }
                _ => {}
            }
        }
    }
    filter
}

/// Adds a filter (handle 0: a new one), or changes the one there is.
fn set(
    device_index: u32,
    handle: u32,
    name: &str,
    program: BorrowedFd<'_>,
    flags: u16,
) -> io::Result<()> {
    let mut message = message(device_index, EGRESS);
    message.header.handle = handle.into();
    message.header.info = PRIORITY << 16 | ALL_PROTOCOLS;
    message.attributes = vec![
        TcAttribute::Kind(TcFilterBpf::KIND.to_owned()),
        TcAttribute::Options(vec![
            TcOption::Bpf(TcFilterBpfOption::ProgFd(
                program.as_raw_fd().cast_unsigned(),
            )),
            TcOption::Bpf(TcFilterBpfOption::ProgName(name.to_owned())),
            TcOption::Bpf(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction)),
        ]),
    ];
    netlink::change(NETLINK_ROUTE, Message::NewTrafficFilter(message), flags)
}

/// Makes the qdisc; whether there was none.
///
/// # Errors
/// The kernel refuses, or another qdisc has the place. That of kind `ingress` would
/// take the filter, and run it on what arrives.
fn make_qdisc(device_index: u32) -> io::Result<bool> {
    let request = Message::NewQueueDiscipline(qdisc(device_index));
    match netlink::change(NETLINK_ROUTE, request, NLM_F_CREATE | NLM_F_EXCL) {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
            if is_clsact(device_index)? {
                Ok(false)
            } else {
                Err(error)
            }
        }
        made => made.map(|()| true),
    }
}

/// Whether the qdisc of what arrives and leaves is clsact.
fn is_clsact(device_index: u32) -> io::Result<bool> {
    let request = Message::GetQueueDiscipline(message(device_index, TcHandle::UNSPEC));
    let qdiscs = netlink::dump(NETLINK_ROUTE, request)?;
    Ok(qdiscs.iter().any(|answer| match answer {
        Message::NewQueueDiscipline(found) => {
            let is_kind = |attribute: &TcAttribute| {
                matches!(attribute, TcAttribute::Kind(kind) if kind == CLSACT)
            };
            found.header.index.cast_unsigned() == device_index
                && found.attributes.iter().any(is_kind)
        }
        _ => false,
    }))
}

fn remove_qdisc(device_index: u32) -> io::Result<()> {
    let request = Message::DelQueueDiscipline(qdisc(device_index));
    netlink::change(NETLINK_ROUTE, request, 0)
}

fn qdisc(device_index: u32) -> TcMessage {
    let mut message = message(device_index, TcHandle::CLSACT);
    message.header.handle = TcHandle {
        major: TcHandle::CLSACT.major,
        minor: 0,
    };
    message
        .attributes
        .push(TcAttribute::Kind(CLSACT.to_owned()));
    message
}

fn message(device_index: u32, parent: TcHandle) -> TcMessage {
    let mut message = TcMessage::with_index(device_index.cast_signed());
    message.header.parent = parent;
    message
}
