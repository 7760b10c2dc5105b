//! ARP for IPv4 over Ethernet (RFC 826; `docs/verdicts.md` §2).

use crate::config::{Constant, essential};
use crate::counter::Counter;
use crate::frame::{Frame, Header};
use crate::tables::Tables;

/// Hardware type 1 (Ethernet), protocol type 0x0800.
const TYPES: u32 = 0x0001_0800;
/// Hardware address length 6, protocol address length 4.
const LENGTHS: u16 = 0x0604;

/// Judges the ARP packet at offset `at`.
#[inline(always)]
pub fn judge<F: Frame, T: Tables>(frame: &mut F, tables: &T, at: u32) -> Counter {
    read(frame, tables, at).unwrap_or_else(|fault| fault)
}

#[inline(always)]
fn read<F: Frame, T: Tables>(frame: &mut F, tables: &T, at: u32) -> Result<Counter, Counter> {
    let ethernet = frame.header::<14>(0)?;
    let source = (ethernet.u32::<6>(), ethernet.u16::<10>());
    let arp = frame.header::<28>(at)?;
    if arp.u32::<0>() != TYPES || arp.u16::<4>() != LENGTHS {
        return Err(Counter::MALFORMED);
    }
    if (arp.u32::<8>(), arp.u16::<12>()) != source {
        return Err(Counter::ESSENTIALS);
    }
    if tables.constant(Constant::Essentials) & essential::ARP != 0 {
        return Ok(Counter::ARP);
    }
    Ok(Counter::by_default(tables))
}
