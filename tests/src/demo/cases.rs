//! The lines of the demonstration: every row of Microsoft's port summary, the same in
//! the direction that is not documented, and flows that must fail, each of which
//! differs from one that passes in one thing.

use std::net::{IpAddr, SocketAddr};

use super::case::{Case, Opener, Probe, Side};
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

/// A documented row, and what a partner tries in the other direction.
struct Row<'a> {
    title: &'static str,
    side: Side,
    opener: Opener,
    transport: Transport,
    /// The address at the edge.
    edge: IpAddr,
    /// The other one.
    partner: IpAddr,
    /// Where the other side listens.
    port: u16,
    rule: &'a str,
    /// Another row documents the same port between the same two the other way.
    is_mutual: bool,
}

/// All cases of one address family.
pub(super) fn cases(cast: &Cast, rows: &Rows, family: Family) -> Vec<Case> {
    let documented = documented(cast, rows);
    let mut cases: Vec<Case> = documented.iter().map(Row::as_documented).collect();
    cases.extend(documented.iter().filter_map(Row::the_other_way));
    cases.extend(refused_by_rules(cast));
    cases.extend(refused_frames(cast, rows, family));
    cases
}

/// The ten rows, which must be answered.
fn documented<'a>(cast: &Cast, rows: &'a Rows) -> Vec<Row<'a>> {
    use Opener::{Edge, World};
    use Side::{External, Internal};
    use Transport::{Tcp, Udp};
    let row = |title, opener, transport, partner, port, rule: &'a str| Row {
        title,
        side: External,
        opener,
        transport,
        edge: cast.access_edge,
        partner,
        port,
        rule,
        is_mutual: false,
    };
    let (federated, partner, messenger) = (cast.client, cast.partner, cast.messenger);
    let mut documented = vec![
        row("S1 federated partner", Edge, Tcp, federated, 5061, &rows.s1),
        row("S2 public IM partner", World, Tcp, partner, 5061, &rows.s2),
        row("S3 public IM partner", Edge, Tcp, partner, 5061, &rows.s3),
        row("S4 external client", World, Tcp, federated, 443, &rows.s4),
        row("S5 Messenger A/V", Edge, Tcp, messenger, 50_000, &rows.s5),
        row("S6 Messenger client", Edge, Udp, messenger, 3478, &rows.s6),
        row("S7 Messenger client", World, Udp, messenger, 3478, &rows.s7),
        row("S8 XMPP partner", World, Tcp, federated, 5269, &rows.s8),
        row("S9 XMPP partner", Edge, Tcp, federated, 5269, &rows.s9),
    ];
    for number in [2, 3, 6, 7, 8, 9] {
        documented[number - 1].is_mutual = true;
    }
    documented.push(Row {
        title: "S10 XMPP gateway",
        side: Internal,
        opener: World,
        transport: Tcp,
        edge: cast.internal_edge,
        partner: cast.front_end,
        port: 23456,
        rule: &rows.s10,
        is_mutual: false,
    });
    documented
}

impl Row<'_> {
    fn call(&self, opener: Opener) -> Probe {
        let (from, to) = match opener {
            Opener::World => (self.partner, self.edge),
            Opener::Edge => (self.edge, self.partner),
        };
        Probe::Call(Call {
            transport: self.transport,
            from: SocketAddr::new(from, 0),
            to: SocketAddr::new(to, self.port),
        })
    }

    /// The row's conversation, and the counters of its rule and of that one's replies.
    fn as_documented(&self) -> Case {
        let (rule, replies) = (self.rule.to_owned(), format!("{}/reply", self.rule));
        let (inbound, outbound) = match self.opener {
            Opener::World => (rule, replies),
            Opener::Edge => (replies, rule),
        };
        Case {
            title: self.title.to_owned(),
            side: self.side,
            opener: self.opener,
            probe: self.call(self.opener),
            expected: Outcome::Answered,
            inbound: Some(inbound),
            // The policy attaches nothing to the internal side's outbound hook.
            outbound: (self.side == Side::External).then_some(outbound),
        }
    }

    /// The same port, opened by the other side: none if a row of its own documents
    /// that, or if nobody judges it.
    fn the_other_way(&self) -> Option<Case> {
        if self.is_mutual || self.side == Side::Internal {
            return None;
        }
        let title = format!("{} the other way", self.title.split(' ').next()?);
        let refused = Some(DEFAULT.to_owned());
        let (opener, inbound, outbound) = match self.opener {
            Opener::World => (Opener::Edge, None, refused),
            Opener::Edge => (Opener::World, refused, None),
        };
        Some(Case {
            title,
            side: self.side,
            opener,
            probe: self.call(opener),
            expected: Outcome::Nothing,
            inbound,
            outbound,
        })
    }
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
    .map(|(title, side, transport, from, to, port)| Case {
        title: title.to_owned(),
        side,
        opener: Opener::World,
        probe: Probe::Call(Call {
            transport,
            from: SocketAddr::new(from, 0),
            to: SocketAddr::new(to, port),
        }),
        expected: Outcome::Nothing,
        inbound: Some(DEFAULT.to_owned()),
        outbound: None,
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
        opener: Opener::World,
        probe,
        expected,
        inbound: Some(counter.to_owned()),
        outbound: None,
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
