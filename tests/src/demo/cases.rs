//! The lines of the demonstration: every inbound row of Microsoft's port summary,
//! and flows that must fail, each of which differs from one that passes in one
//! thing.

use std::net::{IpAddr, SocketAddr};

use super::case::{Case, Probe, Side};
use super::cast::{Cast, Family, Rows};
use crate::lab::conversation::{Call, Outcome, Transport};
use crate::lab::frame::Defect;

/// A VLAN that the policy must not know.
pub(super) const STRANGE_VLAN: u16 = 42;
/// Where crafted frames come from.
const SOURCE_PORT: u16 = 40_000;
const SYN: u8 = 0x02;
const SYN_FIN: u8 = 0x03;
const DEFAULT: &str = "drop:default";

/// All cases of one address family.
pub(super) fn cases(cast: &Cast, rows: &Rows, family: Family) -> Vec<Case> {
    let mut cases = documented(cast, rows);
    cases.extend(refused_by_rules(cast));
    cases.extend(refused_frames(cast, rows, family));
    cases
}

/// The inbound rows, which must be answered.
fn documented(cast: &Cast, rows: &Rows) -> Vec<Case> {
    use Side::{External, Internal};
    use Transport::{Tcp, Udp};
    let edge = cast.access_edge;
    [
        (
            "S2 public IM partner",
            External,
            Tcp,
            cast.partner,
            edge,
            5061,
            &rows.s2,
        ),
        (
            "S4 external client",
            External,
            Tcp,
            cast.client,
            edge,
            443,
            &rows.s4,
        ),
        (
            "S7 Messenger client",
            External,
            Udp,
            cast.messenger,
            edge,
            3478,
            &rows.s7,
        ),
        (
            "S8 XMPP partner",
            External,
            Tcp,
            cast.client,
            edge,
            5269,
            &rows.s8,
        ),
        (
            "S10 XMPP gateway",
            Internal,
            Tcp,
            cast.front_end,
            cast.internal_edge,
            23456,
            &rows.s10,
        ),
    ]
    .map(|(title, side, transport, from, to, port, counter)| {
        call(
            title,
            side,
            transport,
            from,
            (to, port),
            Outcome::Answered,
            counter,
        )
    })
    .into()
}

/// Sound packets that no rule allows.
fn refused_by_rules(cast: &Cast) -> Vec<Case> {
    use Side::{External, Internal};
    use Transport::{Tcp, Udp};
    let edge = cast.access_edge;
    let inner = cast.internal_edge;
    [
        ("wrong port", External, Tcp, cast.partner, edge, 5062),
        (
            "wrong address",
            External,
            Tcp,
            cast.partner,
            cast.other_edge,
            5061,
        ),
        ("wrong source", External, Tcp, cast.client, edge, 5061),
        ("wrong source", External, Udp, cast.client, edge, 3478),
        ("UDP for TCP", External, Udp, cast.client, edge, 443),
        ("TCP for UDP", External, Tcp, cast.messenger, edge, 3478),
        (
            "an internal port outside",
            External,
            Tcp,
            cast.client,
            edge,
            23456,
        ),
        (
            "an internal host outside",
            External,
            Tcp,
            cast.client,
            inner,
            23456,
        ),
        (
            "an external port inside",
            Internal,
            Tcp,
            cast.front_end,
            inner,
            5061,
        ),
    ]
    .map(|(title, side, transport, from, to, port)| {
        call(
            title,
            side,
            transport,
            from,
            (to, port),
            Outcome::Nothing,
            DEFAULT,
        )
    })
    .into()
}

/// Frames around a datagram of row S7, or a segment of row S4, that would pass
/// but for their defect; and one at the edge of what is allowed, which does.
fn refused_frames(cast: &Cast, rows: &Rows, family: Family) -> Vec<Case> {
    let from = SocketAddr::new(cast.messenger, SOURCE_PORT);
    let to = SocketAddr::new(cast.access_edge, 3478);
    let frame = |title: &str, probe, expected, counter: &str| Case {
        title: title.to_owned(),
        side: Side::External,
        probe,
        expected,
        counter: counter.to_owned(),
    };
    let refused = |title, probe, counter| frame(title, probe, Outcome::Nothing, counter);
    let defective = |defect| Probe::Datagram { from, to, defect };
    let mut cases = vec![
        refused(
            "two fragments",
            defective(Defect::Fragments),
            "drop:fragment",
        ),
        refused(
            "our address as source",
            Probe::Segment {
                from: SocketAddr::new(cast.internal_edge, SOURCE_PORT),
                to: SocketAddr::new(cast.access_edge, 443),
                flags: SYN,
            },
            "drop:martian",
        ),
        refused(
            "a VLAN tag",
            Probe::Tagged {
                from,
                to,
                vlans: vec![STRANGE_VLAN],
            },
            "drop:vlan",
        ),
        refused(
            "SYN and FIN",
            Probe::Segment {
                from: SocketAddr::new(cast.client, SOURCE_PORT),
                to: SocketAddr::new(cast.access_edge, 443),
                flags: SYN_FIN,
            },
            "drop:tcp-flags",
        ),
    ];
    match family {
        Family::V4 => {
            cases.push(refused(
                "a source route",
                defective(Defect::SourceRoute),
                "drop:options",
            ));
        }
        Family::V6 => cases.extend([
            frame(
                "8 extension headers",
                defective(Defect::ExtensionHeaders(8)),
                Outcome::Arrived,
                &rows.s7,
            ),
            refused(
                "9 extension headers",
                defective(Defect::ExtensionHeaders(9)),
                "drop:extension-headers",
            ),
            refused(
                "a routing header 0",
                defective(Defect::RoutingHeader0),
                "drop:options",
            ),
        ]),
    }
    cases
}

fn call(
    title: &str,
    side: Side,
    transport: Transport,
    from: IpAddr,
    to: (IpAddr, u16),
    expected: Outcome,
    counter: &str,
) -> Case {
    Case {
        title: title.to_owned(),
        side,
        probe: Probe::Call(Call {
            transport,
            from: SocketAddr::new(from, 0),
            to: to.into(),
        }),
        expected,
        counter: counter.to_owned(),
    }
}
