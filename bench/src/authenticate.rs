//! USIM AUTHENTICATE with Milenage: one challenge checked and answered, one sequence number remembered, each time.

use std::error::Error;

use apdu::StatusWord;
use card_os::Card;
use hex_literal::hex;
use vuicc_tests::subscriber::{AuthenticationCentre, IMSI, K, OPC};

use crate::figure::{Figure, Target};
use crate::in_process::{card, new_card};
use crate::rounds::{medians, took};

/// SELECT of the USIM by the beginning of its AID.
const SELECT_USIM: [u8; 12] = hex!("00A4040407 A0000000871002");

/// On a memory that lasts as long as the process, and on an image, where the number reaches the disk first.
pub(crate) fn authenticate() -> Result<Vec<Figure>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("card");
    new_card()?.save(&image)?;
    let mut durable = Subscription::new(card::open(&image)?)?;
    let mut volatile = Subscription::new(card()?)?;
    let [in_memory, on_disk] = medians(7, [&mut || volatile.rate(20_000), &mut || durable.rate(100)])?;
    Ok(vec![
        Figure::new("in_process.authenticate", in_memory, "1/s").target(Target::AtLeast(50_000.0)),
        Figure::new("in_process.authenticate_durable", on_disk, "1/s").beside(in_memory, "the same without a disk"),
        Figure::new("in_process.cost_of_durability", 1e3 / on_disk - 1e3 / in_memory, "ms"),
    ])
}

/// A card with the USIM selected, and the network's side of it.
struct Subscription {
    card: Card,
    centre: AuthenticationCentre,
}

impl Subscription {
    fn new(mut card: Card) -> Result<Self, Box<dyn Error>> {
        card.reset();
        let selected = card.transmit(&SELECT_USIM);
        if !matches!(selected.as_slice(), [0x61, _]) {
            return Err(format!("SELECT of the USIM is answered {selected:02X?}").into());
        }
        let mut centre = AuthenticationCentre::default();
        centre.add(IMSI, &K, &OPC, 1);
        Ok(Self { card, centre })
    }

    /// Challenges answered per second; making them does not count.
    fn rate(&mut self, times: u32) -> Result<f64, Box<dyn Error>> {
        /// AUTHENTICATE, UMTS security context; RAND and AUTN follow, each with its length.
        const AUTHENTICATE: [u8; 5] = hex!("0088008122");
        const SUCCESSFUL: u8 = 0xDB;
        let challenges: Vec<_> = (0..times)
            .filter_map(|_| self.centre.quintet(IMSI))
            .map(|[rand, autn, ..]| [&AUTHENTICATE[..], &[16], &rand, &[16], &autn, &[0]].concat())
            .collect();
        let mut response = Vec::with_capacity(258);
        let (took, all_right) = took(|| {
            challenges.iter().all(|challenge| {
                response.clear();
                self.card.transmit_into(challenge, &mut response);
                response.first() == Some(&SUCCESSFUL) && response.ends_with(&StatusWord::OK.0.to_be_bytes())
            })
        });
        if !all_right {
            return Err(format!("a challenge is answered {response:02X?}").into());
        }
        Ok(f64::from(times) / took.as_secs_f64())
    }
}
