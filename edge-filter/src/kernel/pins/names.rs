//! The names of pins: generation, device and side.

use super::Pin;
use crate::policy::Direction;

fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "in",
        Direction::Outbound => "out",
    }
}

pub(super) fn file_name(generation: u64, device: &str, direction: Direction) -> String {
    format!("{generation}-{}-{}", encode(device), side(direction))
}

pub(super) fn split(name: &str) -> Option<Pin> {
    let (generation, rest) = name.split_once('-')?;
    let (device, side) = rest.rsplit_once('-')?;
    let direction = match side {
        "in" => Direction::Inbound,
        "out" => Direction::Outbound,
        _ => return None,
    };
    Some((generation.parse().ok()?, decode(device), direction))
}

fn encode(device: &str) -> String {
    device.replace('%', "%25").replace('.', "%2e")
}

fn decode(name: &str) -> String {
    name.replace("%2e", ".").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_survive_their_file_names() {
        for device in ["eth0", "eth0.100", "a%2eb", "br-lan", "x-in", "%", ".."] {
            let encoded = encode(device);
            assert!(!encoded.contains('.'), "{encoded}");
            assert_eq!(decode(&encoded), device);
            let name = file_name(7, device, Direction::Outbound);
            let pin = (7, device.to_owned(), Direction::Outbound);
            assert_eq!(split(&name), Some(pin));
        }
    }
}
