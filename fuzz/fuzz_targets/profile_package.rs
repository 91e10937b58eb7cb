//! A profile package, in pieces of whatever size.

#![no_main]

use applets::profile::{Interpreter, Limits, interpret};
use rsp::euicc_info::UiccCapability;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let Some((size, package)) = octets.split_first() else { return };
    let limits = Limits { memory: 256 * 1024, test_profile: size & 1 == 1, capability: UiccCapability::EMPTY };
    let whole = interpret(package, limits);
    let mut interpreter = Interpreter::new(limits);
    let pieces = package.chunks(usize::from(*size) + 1).try_for_each(|piece| interpreter.push(piece));
    let in_pieces = pieces.and_then(|()| interpreter.finish());
    match (whole, in_pieces) {
        (Ok(whole), Ok(in_pieces)) => {
            assert_eq!(whole.iccid, in_pieces.iccid);
            assert_eq!(whole.response, in_pieces.response);
            assert!(whole.image.size() <= limits.memory);
        }
        (Err(whole), Err(in_pieces)) => assert_eq!(whole.reason, in_pieces.reason),
        _ => panic!("the pieces made a difference"),
    }
});
