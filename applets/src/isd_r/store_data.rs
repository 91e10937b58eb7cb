//! STORE DATA chains: from blocks to one ES10 command. SGP.22 §5.7.2, GlobalPlatform §11.11.

use apdu::{Command, StatusWord};
use std::collections::BTreeMap;

/// Bytes an ES10 command may have. The largest in use, AuthenticateServer with its certificates, has under four
/// thousand.
const LONGEST_COMMAND: usize = 32 * 1024;

/// The chain under way on each channel.
#[derive(Debug, Default)]
pub(super) struct Chains(BTreeMap<u8, Chain>);

/// The blocks that have come so far.
#[derive(Debug, Default)]
pub(super) struct Chain {
    next_block: u16,
    data: Vec<u8>,
}

impl Chain {
    /// What a chain was before its last block, from that and the whole; `None` if there was nothing before.
    pub(super) fn before(last: &Command<'_>, mut whole: Vec<u8>) -> Option<Self> {
        whole.truncate(whole.len().saturating_sub(last.data.len()));
        (last.p2 != 0).then(|| Self { next_block: last.p2.into(), data: whole })
    }
}

/// P1 of STORE DATA: BER-TLV data, response data may follow; more blocks or last block.
const MORE_BLOCKS: u8 = 0x11;
const LAST_BLOCK: u8 = 0x91;
/// The same without the announcement of response data, as some hosts send it.
const MORE_BLOCKS_NO_RESPONSE: u8 = 0x10;
const LAST_BLOCK_NO_RESPONSE: u8 = 0x90;

impl Chains {
    /// Takes one block; gives the whole command when the last one is there.
    ///
    /// Block 0 starts a chain and drops an unfinished one. A wrong block number or too long a chain ends it.
    pub(super) fn take(&mut self, command: &Command<'_>) -> Result<Option<Vec<u8>>, StatusWord> {
        let channel = command.class.channel();
        let last = match command.p1 {
            MORE_BLOCKS | MORE_BLOCKS_NO_RESPONSE => false,
            LAST_BLOCK | LAST_BLOCK_NO_RESPONSE => true,
            _ => return Err(StatusWord::WRONG_P1_P2),
        };
        let mut chain = self.0.remove(&channel).unwrap_or_default();
        if command.p2 == 0 {
            chain = Chain::default();
        }
        if u16::from(command.p2) != chain.next_block {
            return Err(StatusWord::WRONG_P1_P2);
        }
        if chain.data.len() + command.data.len() > LONGEST_COMMAND {
            return Err(StatusWord::NOT_ENOUGH_MEMORY);
        }
        chain.data.extend_from_slice(command.data);
        if last {
            return Ok(Some(chain.data));
        }
        chain.next_block += 1;
        self.0.insert(channel, chain);
        Ok(None)
    }

    /// Puts a chain back whose last block came to nothing.
    pub(super) fn put_back(&mut self, channel: u8, chain: Chain) {
        self.0.insert(channel, chain);
    }

    /// Drops what a channel has sent so far.
    pub(super) fn drop_chain(&mut self, channel: u8) {
        self.0.remove(&channel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    fn take(chains: &mut Chains, bytes: &[u8]) -> Result<Option<Vec<u8>>, StatusWord> {
        chains.take(&Command::parse(bytes).unwrap())
    }

    #[test]
    fn blocks_join_and_channels_keep_apart() {
        let mut chains = Chains::default();
        assert_eq!(take(&mut chains, &hex!("81E2110002BF3E")), Ok(None));
        assert_eq!(take(&mut chains, &hex!("82E2910003BF2000")), Ok(Some(hex!("BF2000").to_vec())));
        assert_eq!(take(&mut chains, &hex!("81E2910104035C015A")), Ok(Some(hex!("BF3E035C015A").to_vec())));
    }

    #[test]
    fn block_zero_starts_over_and_a_gap_ends_the_chain() {
        let mut chains = Chains::default();
        assert_eq!(take(&mut chains, &hex!("81E21100020102")), Ok(None));
        assert_eq!(take(&mut chains, &hex!("81E2910003BF2000")), Ok(Some(hex!("BF2000").to_vec())));
        assert_eq!(take(&mut chains, &hex!("81E21100020102")), Ok(None));
        assert_eq!(take(&mut chains, &hex!("81E2910201FF")), Err(StatusWord::WRONG_P1_P2));
        assert_eq!(take(&mut chains, &hex!("81E2910101FF")), Err(StatusWord::WRONG_P1_P2));
        assert_eq!(take(&mut chains, &hex!("81E2000001FF")), Err(StatusWord::WRONG_P1_P2));
    }

    #[test]
    fn a_block_may_be_empty() {
        let mut chains = Chains::default();
        assert_eq!(take(&mut chains, &hex!("81E2110003BF2000")), Ok(None));
        assert_eq!(take(&mut chains, &hex!("81E2110100")), Ok(None));
        assert_eq!(take(&mut chains, &hex!("81E2910224")), Ok(Some(hex!("BF2000").to_vec())));
        assert_eq!(take(&mut chains, &hex!("81E29100")), Ok(Some(Vec::new())));
    }

    #[test]
    fn memory_does_not_grow_without_limit() {
        let mut chains = Chains::default();
        let mut refused = false;
        for block in 0..=255_u8 {
            let bytes = [&[0x81, 0xE2, 0x11, block, 255][..], &[0xA5; 255]].concat();
            refused |= take(&mut chains, &bytes) == Err(StatusWord::NOT_ENOUGH_MEMORY);
            assert!(chains.0.values().all(|chain| chain.data.len() <= LONGEST_COMMAND));
        }
        assert!(refused);
    }
}
