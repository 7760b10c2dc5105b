//! What a device does to frames by itself, and how to change it.

use anyhow::Result;

use super::ethtool::number;
use super::wire::End;

// include/uapi/linux/ethtool.h.
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETHTOOL_SGRO: u32 = 0x2c;
const ETH_FLAG_RXVLAN: u32 = 1 << 8;

/// Leaves VLAN tags in arriving frames: `ethtool -K DEVICE rxvlan off`.
pub fn keep_vlan_tags(end: &End) -> Result<()> {
    let flags = number(end, ETHTOOL_GFLAGS, 0)?;
    number(end, ETHTOOL_SFLAGS, flags & !ETH_FLAG_RXVLAN)?;
    Ok(())
}

/// Has a veth device take frames that XDP redirects to it even where no XDP program is
/// attached: `ethtool -K DEVICE gro on`, with which the driver polls its ring.
pub fn take_redirected(end: &End) -> Result<()> {
    number(end, ETHTOOL_SGRO, 1)?;
    Ok(())
}
