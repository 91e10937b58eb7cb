//! A card with nothing on it but one profile, and a terminal in front of it.

use apdu::{Response, StatusWord};
use applets::profile::{Limits, interpret};
use card_os::nvm::MemoryNvm;
use card_os::{Card, CardProfile, DomainId, DomainImage, Entropy};

/// Where the card's random numbers come from in tests.
struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, out: &mut [u8]) {
        for octet in out {
            self.0 = self.0.wrapping_mul(29).wrapping_add(17);
            *octet = self.0;
        }
    }
}

/// What a profile may use here.
pub(crate) fn limits() -> Limits {
    Limits { memory: 256 * 1024, test_profile: false, capability: applets::profile::uicc_capability() }
}

/// A card with the profile of a package as its only domain, powered.
pub(crate) fn card(package: &[u8]) -> Terminal {
    let profile = interpret(package, limits()).unwrap_or_else(|failure| panic!("{failure:?}"));
    let mut nvm = MemoryNvm::default();
    Card::format(&mut nvm, DomainImage::new(), vec![profile.image], Some(DomainId(1)))
        .unwrap_or_else(|error| panic!("{error:?}"));
    let mut card = Card::new(CardProfile::default(), Box::new(nvm), Box::new(Counting(1)), applets::build);
    card.reset();
    Terminal(card)
}

/// Speaks to a card as a T=0 terminal does.
pub(crate) struct Terminal(pub(crate) Card);

impl Terminal {
    /// Sends a command; fetches what waits, repeats with the right Le.
    pub(crate) fn send(&mut self, command: &[u8]) -> Response {
        let mut response = self.transmit(command);
        if response.sw.sw1() == 0x6C {
            let mut again = command.get(..4).unwrap_or_default().to_vec();
            again.push(response.sw.sw2());
            response = self.transmit(&again);
        }
        while response.sw.sw1() == 0x61 {
            let more = self.transmit(&[0x00, 0xC0, 0x00, 0x00, response.sw.sw2()]);
            response.data.extend(more.data);
            response.sw = more.sw;
        }
        response
    }

    fn transmit(&mut self, command: &[u8]) -> Response {
        Response::parse(&self.0.transmit(command)).unwrap_or(StatusWord::TECHNICAL_PROBLEM.into())
    }

    /// Header and data, no Le.
    pub(crate) fn command(&mut self, header: [u8; 4], data: &[u8]) -> Response {
        let mut command = header.to_vec();
        if !data.is_empty() {
            command.push(u8::try_from(data.len()).unwrap_or(0));
            command.extend_from_slice(data);
        }
        self.send(&command)
    }

    /// SELECT by AID.
    pub(crate) fn select_application(&mut self, aid: &[u8]) -> Response {
        self.command([0x00, 0xA4, 0x04, 0x04], aid)
    }

    /// VERIFY PIN.
    pub(crate) fn verify(&mut self, reference: u8, value: &[u8]) -> StatusWord {
        self.command([0x00, 0x20, 0x00, reference], value).sw
    }

    /// AUTHENTICATE in the 3G context.
    pub(crate) fn authenticate(&mut self, rand: &[u8], autn: &[u8]) -> Response {
        let counted = |value: &[u8]| [&[u8::try_from(value.len()).unwrap_or(0)], value].concat();
        self.command([0x00, 0x88, 0x00, 0x81], &[counted(rand), counted(autn)].concat())
    }
}
