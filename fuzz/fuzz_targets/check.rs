//! What must hold of a card, whatever is done to it.

use card_os::Card;
use card_os::nvm::Key;

/// Sends a command; the answer has a status word and no more data than fit.
pub fn answer(card: &mut Card, command: &[u8]) -> Vec<u8> {
    let answer = card.transmit(command);
    assert!((2..=258).contains(&answer.len()), "{command:02X?}: {answer:02X?}");
    answer
}

/// After a reset it serves again, and its memory accounts are right.
pub fn recovers(mut card: Card) {
    assert_eq!(card.reset().first(), Some(&0x3B));
    assert_eq!(card.transmit(&[0x00, 0xA4, 0x00, 0x0C, 0x02, 0x3F, 0x00]), [0x90, 0x00]);
    let select = [&[0x00, 0xA4, 0x04, 0x0C, 0x10], &rsp::ids::AID_ISD_R[..]].concat();
    assert_eq!(card.transmit(&select), [0x90, 0x00]);
    let nvm = card.nvm();
    let keys = nvm.keys(Key::from_u64(0)..=Key::from_u64(u64::MAX));
    let sum: usize = keys.into_iter().filter_map(|key| nvm.get(key)).map(|value| Key::SIZE + value.len()).sum();
    assert_eq!(sum, nvm.used());
    // No domain but those of whole profiles: each has its ICCID, and ISD-R knows as many.
    assert!(sum <= card.profile().non_volatile_memory);
}
