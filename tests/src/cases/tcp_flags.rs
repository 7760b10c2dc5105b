//! Every combination of TCP's flags (RFC 9293, RFC 3168; `docs/verdicts.md` §6).

use edge_filter::policy::DropReason::TcpFlags;

use super::hosts::{PEER, from};
use super::row::{Base, Row};
use crate::craft::flag::{ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG};
use crate::craft::{Family, tcp};

const RFC: &str = "RFC 9293, RFC 3168; verdicts §6";

/// The combinations of FIN, SYN, RST and ACK that a TCP sends; PSH and URG go
/// with any of them.
const SENT: [u16; 6] = [SYN, SYN | ACK, RST, RST | ACK, ACK, FIN | ACK];

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in Family::BOTH {
        let base = Base::within(family.name(), "tcp-5061", tcp(), move |segment| {
            from(PEER, family, segment).into()
        });
        for flags in 0..64 {
            for (ecn, bits) in [
                ("", 0),
                ("+ece+cwr", ECE | CWR),
                ("+ece+cwr+ae", ECE | CWR | AE),
            ] {
                let name = format!("tcp-flags/{}{ecn}", name(flags));
                let change = |tcp: crate::craft::Segment| tcp.flags(flags | bits);
                rows.push(if may(flags) {
                    base.passes(name, RFC, change)
                } else {
                    base.drops(name, TcpFlags, RFC, change)
                });
            }
        }
        for (ecn, bits) in [("ece", ECE), ("cwr", CWR), ("ae", AE)] {
            let name = format!("tcp-flags/syn+{ecn}");
            rows.push(base.passes(name, RFC, |tcp| tcp.flags(SYN | bits)));
        }
    }
    rows
}

/// Whether the contract lets these six flags pass. It is laxer than TCP with
/// two kinds that no stack acts upon: PSH or URG alone, and FIN+RST+ACK.
fn may(flags: u16) -> bool {
    let core = flags & (FIN | SYN | RST | ACK);
    match core {
        0 => flags & (PSH | URG) != 0,
        core => SENT.contains(&core) || core == FIN | RST | ACK,
    }
}

fn name(flags: u16) -> String {
    let names = [
        (FIN, "fin"),
        (SYN, "syn"),
        (RST, "rst"),
        (PSH, "psh"),
        (ACK, "ack"),
        (URG, "urg"),
    ];
    let set: Vec<_> = names
        .iter()
        .filter(|(flag, _)| flags & flag != 0)
        .map(|(_, name)| *name)
        .collect();
    if set.is_empty() {
        "none".to_owned()
    } else {
        set.join("+")
    }
}
