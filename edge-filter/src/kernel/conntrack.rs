//! The conversations that the kernel's own connection tracking knows, which include
//! those that this host forwards.

use std::fs;
use std::io;
use std::net::IpAddr;

use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoInfo, ProtoInfoTCP, ProtoTuple,
    Tuple as ConntrackTuple,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::flow_table::{ACK, FIN, Opened, tuple};
use super::netlink;

/// How many conversations the kernel tracks in this network namespace. The file is not
/// there as long as connection tracking is not in use anywhere.
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";

/// `enum tcp_conntrack` (`include/uapi/linux/netfilter/nf_conntrack_tcp.h`): the states
/// from the first FIN on.
const TCP_CONNTRACK_FIN_WAIT: u8 = 4;

const TCP: u8 = 6;

/// The conversations that are tracked, each as its opener sends it: before and after
/// this host translates its addresses. None where nothing is tracked; asking would have
/// the kernel load what nobody uses.
///
/// # Errors
/// The kernel refuses to tell.
pub fn conversations() -> io::Result<Vec<Opened>> {
    let in_use = fs::read_to_string(COUNT).is_ok_and(|count| count.trim() != "0");
    if !in_use {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for family in [NetfilterProtoFamily::IPv4, NetfilterProtoFamily::IPv6] {
        let request = NetfilterMessage::new(
            NetfilterHeader::new(family, 0, 0),
            ConntrackMessage::Get(Vec::new()),
        );
        for answer in netlink::dump(NETLINK_NETFILTER, request)? {
            if let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) =
                answer.inner
            {
                found.extend(both_ways(&attributes));
            }
        }
    }
    Ok(found)
}

/// One side of a tracked conversation.
#[derive(Debug, Default)]
struct Side {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    protocol: u8,
    source_port: u16,
    destination_port: u16,
}

/// The conversation as its opener sends it, and as it goes on from here, which is the
/// same unless addresses are translated.
fn both_ways(attributes: &[ConntrackAttribute]) -> Vec<Opened> {
    let mut flags = ACK;
    let mut tuples = Vec::new();
    for attribute in attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(parts) => tuples.push(Side::of(parts)),
            ConntrackAttribute::CtaTupleReply(parts) => tuples.push(Side::of(parts).turned()),
            ConntrackAttribute::CtaProtoInfo(parts) if is_ending(parts) => flags |= FIN,
            _ => {}
        }
    }
    let mut found: Vec<Opened> = tuples
        .iter()
        .filter_map(|side| {
            let tuple = tuple(
                (side.source?, side.source_port),
                (side.destination?, side.destination_port),
                side.protocol,
            )?;
            Some((tuple, if side.protocol == TCP { flags } else { 0 }))
        })
        .collect();
    found.dedup();
    found
}

fn is_ending(parts: &[ProtoInfo]) -> bool {
    parts.iter().any(|part| match part {
        ProtoInfo::TCP(parts) => parts.iter().any(
            |part| matches!(part, ProtoInfoTCP::State(state) if *state >= TCP_CONNTRACK_FIN_WAIT),
        ),
        _ => false,
    })
}

impl Side {
    fn of(parts: &[ConntrackTuple]) -> Self {
        let mut side = Self::default();
        for part in parts {
            match part {
                ConntrackTuple::Ip(addresses) => {
                    for address in addresses {
                        match address {
                            IPTuple::SourceAddress(source) => side.source = Some(*source),
                            IPTuple::DestinationAddress(address) => {
                                side.destination = Some(*address);
                            }
                            _ => {}
                        }
                    }
                }
                ConntrackTuple::Proto(parts) => parts.iter().for_each(|part| side.transport(part)),
                _ => {}
            }
        }
        side
    }

    fn transport(&mut self, part: &ProtoTuple) {
        match part {
            ProtoTuple::Protocol(protocol) => self.protocol = (*protocol).into(),
            ProtoTuple::SourcePort(number) => self.source_port = *number,
            ProtoTuple::DestinationPort(number) => self.destination_port = *number,
            ProtoTuple::Other(attribute) => self.identifier(attribute),
            _ => {}
        }
    }

    /// Of an ICMP echo the identifier stands for both ports (`docs/verdicts.md` §14.1).
    fn identifier(&mut self, attribute: &netlink_packet_core::DefaultNla) {
        use netlink_packet_core::Nla as _;
        // `enum ctattr_l4proto`, include/uapi/linux/netfilter/nfnetlink_conntrack.h.
        const CTA_PROTO_ICMP_ID: u16 = 4;
        const CTA_PROTO_ICMPV6_ID: u16 = 7;
        if ![CTA_PROTO_ICMP_ID, CTA_PROTO_ICMPV6_ID].contains(&attribute.kind()) {
            return;
        }
        let mut value = [0; 2];
        if attribute.value_len() == value.len() {
            attribute.emit_value(&mut value);
            self.source_port = u16::from_be_bytes(value);
            self.destination_port = self.source_port;
        }
    }

    fn turned(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            ..self
        }
    }
}
