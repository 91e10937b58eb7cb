//! A probe, and a card's answer to it.

use apdu::{StatusWord, Transport, TransportError};

/// Commands that bring a card into a situation, and one whose answer counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What kind of probe it is.
    pub kind: &'static str,
    /// Whether the card is reset first.
    pub reset: bool,
    /// Commands before, whose answers do not count.
    pub setup: Vec<Vec<u8>>,
    /// The command.
    pub command: Vec<u8>,
    /// Commands behind, which put things back.
    pub cleanup: Vec<Vec<u8>>,
    /// Whether the answer is random, so that only its length counts.
    pub is_random: bool,
    /// What its answer proves.
    pub weight: Weight,
}

/// What the answer to a probe proves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Whether the card of the description carries it out: it asks for what is there and may be read.
    pub succeeds: bool,
    /// Whether learning sends it too, in the same situation.
    pub is_learned: bool,
}

impl Probe {
    /// A probe of this command, behind these.
    pub fn new(kind: &'static str, setup: Vec<Vec<u8>>, command: Vec<u8>) -> Self {
        Self { kind, reset: false, setup, command, cleanup: Vec::new(), is_random: false, weight: Weight::default() }
    }

    /// The instruction of the command.
    pub fn ins(&self) -> Option<u8> {
        self.command.get(1).copied()
    }
}

/// A card's answer to a probe: the response, and what GET RESPONSE or the exact length brought behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Responses, each with its status word.
    pub responses: Vec<Vec<u8>>,
    /// Whether the card said that a proactive command waits, `91XX`; the status word is `9000` here.
    pub has_proactive: bool,
}

impl Answer {
    /// The status word of the first response.
    pub fn first(&self) -> Option<StatusWord> {
        self.responses.first().and_then(|response| status_word(response))
    }

    /// The status word of the last one.
    pub fn last(&self) -> Option<StatusWord> {
        self.responses.last().and_then(|response| status_word(response))
    }

    /// The data of all responses.
    pub fn data(&self) -> Vec<u8> {
        let data = |response: &Vec<u8>| response.get(..response.len().saturating_sub(2)).unwrap_or_default().to_vec();
        self.responses.iter().flat_map(data).collect()
    }
}

pub(crate) fn status_word(response: &[u8]) -> Option<StatusWord> {
    let [.., high, low] = response else { return None };
    Some(StatusWord(u16::from_be_bytes([*high, *low])))
}

/// Responses behind one command, at most.
const LONGEST: usize = 8;

/// Asks a card.
///
/// # Errors
/// The card has gone.
pub fn ask(card: &mut (impl Transport + ?Sized), probe: &Probe) -> Result<Answer, TransportError> {
    card.hold()?;
    let answer = ask_held(card, probe);
    card.release();
    answer
}

fn ask_held(card: &mut (impl Transport + ?Sized), probe: &Probe) -> Result<Answer, TransportError> {
    if probe.reset {
        card.reset()?;
    }
    for command in &probe.setup {
        card.transmit(command)?;
    }
    let mut answer = Answer { responses: Vec::new(), has_proactive: false };
    let mut command = probe.command.clone();
    for _ in 0..LONGEST {
        let mut response = card.transmit(&command)?;
        let Some(sw) = status_word(&response) else { return Err(TransportError::ShortResponse(response.len())) };
        if sw.sw1() == PROACTIVE {
            answer.has_proactive = true;
            let length = response.len();
            response.splice(length.saturating_sub(2).., StatusWord::OK.0.to_be_bytes());
        }
        if probe.is_random {
            let length = response.len().saturating_sub(2);
            response.iter_mut().take(length).for_each(|octet| *octet = 0);
        }
        answer.responses.push(response);
        match (sw.sw1(), command.as_mut_slice()) {
            (MORE, [cla, ..]) => {
                let class = apdu::Class::parse(*cla).map_or(0, apdu::Class::channel);
                let class = apdu::Class::on_channel(false, class).map_or(0, apdu::Class::to_byte);
                command = vec![class, GET_RESPONSE, 0, 0, sw.sw2()];
            }
            (TO_BE_FETCHED, [SIM, ..]) => command = vec![SIM, GET_RESPONSE, 0, 0, sw.sw2()],
            (EXACT, [_, _, _, _, le]) if *le != sw.sw2() => *le = sw.sw2(),
            _ => break,
        }
    }
    for command in &probe.cleanup {
        card.transmit(command)?;
    }
    Ok(answer)
}

/// The class of a SIM, and its `9FXX`. TS 51.011 §9.2, §9.4.1.
pub(crate) const SIM: u8 = 0xA0;
pub(crate) const TO_BE_FETCHED: u8 = 0x9F;
const GET_RESPONSE: u8 = 0xC0;
const MORE: u8 = 0x61;
const EXACT: u8 = 0x6C;
const PROACTIVE: u8 = 0x91;
