//! From a link's frame to the payload of UDP, and the reverse.

use crate::gsmtap;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held<'a> {
    /// The payload of UDP, to GSMTAP's port or in its form.
    Gsmtap(&'a [u8]),
    /// An APDU.
    Bare(&'a [u8]),
    /// Nothing of a card.
    Other,
    /// GSMTAP, of which a part is missing.
    Cut,
}

/// Link types, <https://www.tcpdump.org/linktypes.html>.
const NULL: u32 = 0;
pub(crate) const ETHERNET: u32 = 1;
const RAW: u32 = 101;
const LOOP: u32 = 108;
const LINUX_SLL: u32 = 113;
const USER: std::ops::RangeInclusive<u32> = 147..=162;
const IPV4: u32 = 228;
const IPV6: u32 = 229;
const LINUX_SLL2: u32 = 276;

/// EtherTypes.
const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86DD;
/// Tags before the EtherType: VLAN, provider bridging and its predecessor.
const TAGS: [u16; 3] = [0x8100, 0x88A8, 0x9100];
/// Numbers of protocols over IP.
const UDP: u8 = 17;

/// Whether frames of this link can be read.
pub(crate) fn is_known(link: u32) -> bool {
    const KNOWN: [u32; 8] = [NULL, ETHERNET, RAW, LOOP, LINUX_SLL, IPV4, IPV6, LINUX_SLL2];
    KNOWN.contains(&link) || USER.contains(&link)
}

/// What a frame of link type `link` holds.
pub(crate) fn held(link: u32, frame: &[u8]) -> Held<'_> {
    if USER.contains(&link) {
        return if gsmtap::is_sim(frame) { Held::Gsmtap(frame) } else { Held::Bare(frame) };
    }
    packet(link, frame).and_then(udp).unwrap_or(Held::Other)
}

/// The IP packet in a frame.
fn packet(link: u32, frame: &[u8]) -> Option<&[u8]> {
    let typed = |at: usize, from: usize| {
        let mut kind = u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?);
        let mut packet = frame.get(from..)?;
        while TAGS.contains(&kind) {
            kind = u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?);
            packet = packet.get(4..)?;
        }
        [TYPE_IPV4, TYPE_IPV6].contains(&kind).then_some(packet)
    };
    match link {
        ETHERNET => typed(12, 14),
        LINUX_SLL => typed(14, 16),
        LINUX_SLL2 => typed(0, 20),
        // The address family, whose numbers differ between systems; the version says as much.
        NULL | LOOP => frame.get(4..),
        RAW | IPV4 | IPV6 => Some(frame),
        _ => None,
    }
}

/// What the UDP datagram in an IP packet holds, if it is one.
fn udp(packet: &[u8]) -> Option<Held<'_>> {
    let (protocol, datagram, is_fragment) = match packet.first()? >> 4 {
        4 => {
            let header = 4 * usize::from(packet.first()? & 0x0F);
            let fragment = u16::from_be_bytes(packet.get(6..8)?.try_into().ok()?);
            // Of a fragment that is not the first no port is known.
            if fragment & 0x1FFF != 0 {
                return None;
            }
            (*packet.get(9)?, packet.get(header.max(20)..)?, fragment & 0x2000 != 0)
        }
        6 => ipv6(packet)?,
        _ => return None,
    };
    if protocol != UDP {
        return None;
    }
    let word = |at: usize| datagram.get(at..at + 2).and_then(|word| Some(u16::from_be_bytes(word.try_into().ok()?)));
    let (from, to, length) = (word(0)?, word(2)?, usize::from(word(4)?));
    let payload = datagram.get(8..length);
    let is_gsmtap = [from, to].contains(&gsmtap::PORT) || datagram.get(8..).is_some_and(gsmtap::is_sim);
    Some(match payload {
        _ if !is_gsmtap => Held::Other,
        Some(payload) if !is_fragment => Held::Gsmtap(payload),
        _ => Held::Cut,
    })
}

/// Protocol and datagram of an IPv6 packet, behind the extension headers that say nothing about it.
fn ipv6(packet: &[u8]) -> Option<(u8, &[u8], bool)> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const DESTINATION: u8 = 60;
    let (mut protocol, mut rest) = (*packet.get(6)?, packet.get(40..)?);
    while [HOP_BY_HOP, ROUTING, DESTINATION].contains(&protocol) {
        let length = 8 * (1 + usize::from(*rest.get(1)?));
        (protocol, rest) = (*rest.first()?, rest.get(length..)?);
    }
    Some((protocol, rest, false))
}

/// A UDP datagram to GSMTAP's port on this machine, in IPv4 and Ethernet.
pub(crate) fn ethernet(payload: &[u8]) -> Vec<u8> {
    const LOCALHOST: [u8; 4] = [127, 0, 0, 1];
    let udp = u16::try_from(payload.len() + 8).unwrap_or(u16::MAX);
    let mut ip = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, UDP, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    ip[2..4].copy_from_slice(&udp.saturating_add(20).to_be_bytes());
    ip[12..16].copy_from_slice(&LOCALHOST);
    ip[16..].copy_from_slice(&LOCALHOST);
    let checksum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&checksum);

    let mut frame = vec![0; 12];
    frame.extend(TYPE_IPV4.to_be_bytes());
    frame.extend(ip);
    frame.extend(gsmtap::PORT.to_be_bytes());
    frame.extend(gsmtap::PORT.to_be_bytes());
    frame.extend(udp.to_be_bytes());
    frame.extend([0, 0]); // no checksum
    frame.extend(payload);
    frame
}

/// The checksum of an IPv4 header in which it is 0. RFC 1071.
fn checksum(header: &[u8; 20]) -> u16 {
    let (words, _) = header.as_chunks();
    let mut sum: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    /// GSMTAP that another recorder sent from another port.
    const IP: [u8; 44] = hex!(
        "4500 002C 0000 4000 40 11 0000 7F000001 7F000001"
        "C000 1279 0018 0000"
        "02040400 00000000 00000000 00000000"
    );

    fn behind(header: &[u8]) -> Vec<u8> {
        [header, &IP].concat()
    }

    #[test]
    fn every_link_has_its_header() {
        let payload = Held::Gsmtap(&IP[28..]);
        let mac = hex!("000000000000 000000000000");
        assert_eq!(held(RAW, &IP), payload);
        assert_eq!(held(IPV4, &IP), payload);
        assert_eq!(held(NULL, &behind(&hex!("02000000"))), payload);
        assert_eq!(held(ETHERNET, &behind(&[&mac[..], &hex!("0800")].concat())), payload);
        assert_eq!(held(ETHERNET, &behind(&[&mac[..], &hex!("8100 0001 0800")].concat())), payload);
        assert_eq!(held(ETHERNET, &behind(&[&mac[..], &hex!("0806")].concat())), Held::Other);
        assert_eq!(held(LINUX_SLL, &behind(&hex!("0000 0304 0006 000000000000 0000 0800"))), payload);
        assert_eq!(held(LINUX_SLL2, &behind(&hex!("0800 0000 00000001 0304 00 06 0000000000000000"))), payload);
        let ipv6 = [&hex!("60000000 0018 00 40")[..], &[0; 32], &hex!("1100000000000000"), &IP[20..]].concat();
        assert_eq!(held(IPV6, &ipv6), payload);
        assert_eq!(held(147, &IP[28..]), payload);
        assert_eq!(held(147, &hex!("00B0000000 9000")), Held::Bare(&hex!("00B0000000 9000")));
    }

    #[test]
    fn a_datagram_may_be_cut_or_of_others() {
        let mut fragment = IP;
        fragment[6] = 0x20;
        assert_eq!(held(RAW, &fragment), Held::Cut);
        assert_eq!(held(RAW, &IP[..40]), Held::Cut);
        let mut other = IP;
        other[22..24].copy_from_slice(&[0, 53]);
        assert_eq!(held(RAW, &other), Held::Gsmtap(&IP[28..]), "another port, and GSMTAP nevertheless");
        other[30] = 1;
        assert_eq!(held(RAW, &other), Held::Other);
    }

    #[test]
    fn frames_are_read_as_written() {
        let frame = ethernet(&IP[28..]);
        assert_eq!(held(ETHERNET, &frame), Held::Gsmtap(&IP[28..]));
        assert_eq!(frame[14..34], hex!("4500 002C 0000 4000 40 11 3CBF 7F000001 7F000001"));
    }
}
