//! What stands on a device: VLANs, the bridge or bond that it is a port of, and so on.
//! Packets for their addresses cross the device, some of them with tags.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink;

/// A device among the others of its network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether it resolves no addresses (`IFF_NOARP`), neither by ARP nor by neighbour
    /// discovery.
    pub resolves_nothing: bool,
    /// The device that its packets cross.
    pub lower: Option<Lower>,
    /// The device that takes what it receives for its own, if that is a bridge, a bond or
    /// a team.
    pub upper: Option<u32>,
}

/// What a device's packets cross, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lower {
    /// The index of the device below.
    pub device: u32,
    /// The VLAN id that they bear there.
    pub vlan: Option<u16>,
}

/// A device that is reached through another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The index of the upper device; the lowest layer is the device itself.
    pub device: u32,
    /// The VLAN ids that its packets bear at the lowest, the outermost first.
    pub tags: Vec<u16>,
}

/// Every device of this network namespace.
///
/// # Errors
/// The kernel refuses to tell.
pub fn links() -> io::Result<Vec<Link>> {
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let mut found: Vec<(Link, Option<u32>, bool)> = Vec::new();
    for answer in netlink::dump(NETLINK_ROUTE, request)? {
        match answer {
            RouteNetlinkMessage::NewLink(link) => found.push(describe(&link)),
            other => return Err(io::Error::other(format!("unexpected answer {other:?}"))),
        }
    }
    let collecting: Vec<u32> = found
        .iter()
        .filter(|(.., collects)| *collects)
        .map(|(link, ..)| link.index)
        .collect();
    Ok(found
        .into_iter()
        .map(|(link, controller, _)| Link {
            upper: controller.filter(|index| collecting.contains(index)),
            ..link
        })
        .collect())
}

/// Every layer above the device `index` among `links`, itself first.
#[must_use]
pub fn layers(index: u32, links: &[Link]) -> Vec<Layer> {
    let mut layers = vec![Layer {
        device: index,
        tags: Vec::new(),
    }];
    let mut next = 0;
    while let Some(layer) = layers.get(next).cloned() {
        next += 1;
        let by_port = links
            .iter()
            .find(|link| link.index == layer.device)
            .and_then(|link| link.upper)
            .map(|device| (device, None));
        let by_lower = links.iter().filter_map(|link| {
            let lower = link.lower.filter(|lower| lower.device == layer.device)?;
            Some((link.index, lower.vlan))
        });
        for (device, vlan) in by_port.into_iter().chain(by_lower) {
            if layers.iter().all(|layer| layer.device != device) {
                let tags = layer.tags.iter().copied().chain(vlan).collect();
                layers.push(Layer { device, tags });
            }
        }
    }
    layers
}

/// The link, the index of what it is subject to, and whether it collects what its own
/// subjects receive.
fn describe(message: &LinkMessage) -> (Link, Option<u32>, bool) {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        resolves_nothing: message.header.flags.contains(LinkFlags::Noarp),
        lower: None,
        upper: None,
    };
    let (mut below, mut elsewhere, mut controller) = (None, false, None);
    let (mut kind, mut vlan) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Link(index) => below = Some(*index),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true,
            LinkAttribute::Controller(index) => controller = Some(*index),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(found) => kind = Some(found.clone()),
                        LinkInfo::Data(InfoData::Vlan(parts)) => {
                            vlan = parts.iter().find_map(|part| match part {
                                InfoVlan::Id(id) => Some(*id),
                                _ => None,
                            });
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    // The link of a veth is its peer, and that of a tunnel its route: nothing of theirs
    // crosses it as it is.
    let stands_on_it = matches!(
        kind,
        Some(InfoKind::Vlan | InfoKind::MacVlan | InfoKind::MacVtap | InfoKind::IpVlan)
    );
    if stands_on_it && !elsewhere {
        link.lower = below.map(|device| Lower { device, vlan });
    }
    let collects = matches!(
        kind,
        Some(InfoKind::Bridge | InfoKind::Bond | InfoKind::Team)
    );
    (link, controller, collects)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, lower: Option<(u32, Option<u16>)>, upper: Option<u32>) -> Link {
        Link {
            index,
            name: format!("dev{index}"),
            resolves_nothing: false,
            lower: lower.map(|(device, vlan)| Lower { device, vlan }),
            upper,
        }
    }

    /// `DEVICE[TAG,…]`, with blanks between.
    fn seen(index: u32, links: &[Link]) -> String {
        let layers = layers(index, links).into_iter();
        let words = layers.map(|layer| format!("{}{:?}", layer.device, layer.tags));
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_stands_on_a_device() {
        // 2 and 3 are ports of the bond 4, on which stand VLAN 10 (5), on that VLAN 20
        // (6) and a macvlan (7); 8 is apart.
        let links = [
            link(1, None, None),
            link(2, None, Some(4)),
            link(3, None, Some(4)),
            link(4, None, None),
            link(5, Some((4, Some(10))), None),
            link(6, Some((5, Some(20))), None),
            link(7, Some((5, None)), None),
            link(8, None, None),
        ];
        assert_eq!(seen(2, &links), "2[] 4[] 5[10] 6[10, 20] 7[10]");
        assert_eq!(seen(5, &links), "5[] 6[20] 7[]");
        assert_eq!(seen(8, &links), "8[]");
    }

    #[test]
    fn what_the_kernel_says_of_a_vlan() {
        let vlan = |more: &[LinkAttribute]| {
            let mut message = LinkMessage::default();
            message.header.index = 5;
            message.attributes = vec![
                LinkAttribute::IfName("eth0.10".to_owned()),
                LinkAttribute::Link(4),
                LinkAttribute::LinkInfo(vec![
                    LinkInfo::Kind(InfoKind::Vlan),
                    LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(10)])),
                ]),
            ];
            message.attributes.extend_from_slice(more);
            describe(&message).0
        };
        let lower = Lower {
            device: 4,
            vlan: Some(10),
        };
        assert_eq!(vlan(&[]).lower, Some(lower));
        // Its lower device has that number in another namespace.
        assert_eq!(vlan(&[LinkAttribute::LinkNetNsId(0)]).lower, None);
    }

    #[test]
    fn a_veth_does_not_stand_on_its_peer() {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::Link(4),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]),
        ];
        assert_eq!(describe(&message).0.lower, None);
    }

    #[test]
    fn a_circle_ends() {
        let links = [
            link(1, Some((2, None)), None),
            link(2, Some((1, None)), None),
        ];
        assert_eq!(seen(1, &links), "1[] 2[]");
    }
}
