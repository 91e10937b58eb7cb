//! The card without a reader: commands and responses in one process, in a buffer that is used again.

use std::error::Error;

use apdu::StatusWord;
use card::entropy::ChaCha;
use card::personalise::{self, Euicc, NewCard};
use card_os::Card;
use hex_literal::hex;
use vuicc_tests::subscriber::subscriber;

use crate::figure::{Figure, Target};
use crate::rounds::{medians, per_second};

/// SELECT EF.ICCID, READ BINARY of its ten bytes.
pub(crate) const SELECT_AND_READ: [&[u8]; 2] = [&hex!("00A40004022FE2"), &hex!("00B000000A")];

const PASSES: u32 = 200_000;

/// SELECT EF.ICCID and READ BINARY.
pub(crate) fn select_and_read() -> Result<Vec<Figure>, Box<dyn Error>> {
    let mut card = card()?;
    card.reset();
    let mut response = Vec::with_capacity(258);
    for command in SELECT_AND_READ {
        response.clear();
        card.transmit_into(command, &mut response);
        if !response.ends_with(&StatusWord::OK.0.to_be_bytes()) && response.first() != Some(&0x61) {
            return Err(format!("{command:02X?} is answered {response:02X?}").into());
        }
    }
    let mut round = || {
        let passes = per_second(PASSES, || {
            for command in SELECT_AND_READ {
                response.clear();
                card.transmit_into(std::hint::black_box(command), &mut response);
                std::hint::black_box(&response);
            }
        });
        Ok(passes * 2.0)
    };
    let [rate] = medians(5, [&mut round])?;
    Ok(vec![Figure::new("in_process.select_and_read", rate, "APDU/s").target(Target::AtLeast(1_000_000.0))])
}

/// How long it takes until the image of a card with five profiles has answered its reset, in milliseconds.
pub(crate) fn open_image() -> Result<Vec<Figure>, Box<dyn Error>> {
    const PROFILES: u32 = 5;
    const OPENINGS: u32 = 20;
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("card.img");
    card_with(PROFILES)?.save(&image)?;
    let mut round = || {
        let rate = per_second(OPENINGS, || {
            let answer = card::open(&image).map(|mut card| card.reset().len());
            assert!(std::hint::black_box(answer).is_ok_and(|octets| octets > 0), "the image opens");
        });
        Ok(1000.0 / rate)
    };
    let [milliseconds] = medians(5, [&mut round])?;
    Ok(vec![Figure::new("image.open_five_profiles", milliseconds, "ms").target(Target::Below(10.0))])
}

/// An eUICC with the test subscriber's profile enabled, without power, on a memory that lasts as long as it does.
pub(crate) fn card() -> Result<Card, Box<dyn Error>> {
    Ok(new_card()?.insert(Box::new(ChaCha::from_number(2))))
}

/// The same, not inserted yet.
pub(crate) fn new_card() -> Result<NewCard, Box<dyn Error>> {
    card_with(1)
}

/// An eUICC with so many profiles, the first of them enabled.
fn card_with(profiles: u32) -> Result<NewCard, Box<dyn Error>> {
    const TODAY: u64 = 1_767_225_600;
    let mut entropy = ChaCha::from_number(1);
    let package = |number| -> Result<_, Box<dyn Error>> {
        Ok(saip::encode_package(&saip::builder::build(&subscriber(number))?).into())
    };
    let profiles = (1..=profiles).map(package).collect::<Result<Vec<_>, _>>()?;
    let pki = personalise::mint_pki(None, TODAY, &mut entropy)?;
    let description = Euicc { profiles, enable_first: true, ..Euicc::new(pki, TODAY) };
    Ok(personalise::euicc(&description, &mut entropy)?)
}
