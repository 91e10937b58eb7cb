//! The host's side of a recorded session: what it sent is sent to a card again, and the answers are compared.

use std::collections::BTreeMap;

use apdu::transport::{get_response, with_le};
use apdu::{Command, Ins, Transport, TransportError};
use capture::{Event, LeftOut, MASK, Part};
use decode::{Decoded, Decoder, Differing, Varies, compare};

use super::once::bound;
use super::taken::{Channels, Taken, Values, cut};
use super::turn::{Act, Done, Exchange, Turn, acts};

/// A step of a session that was sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Number of its first event in the recording, from 1, as a decoder counts.
    pub number: usize,
    /// Line or packet of that.
    pub line: Option<usize>,
    /// What the recording has, explained; the whole answer as one response.
    pub recorded: Decoded,
    /// What happened now; `None` if nothing was sent.
    pub live: Option<Decoded>,
    /// The commands that were sent, and what each was answered.
    pub sent: Turn,
    /// How the answers compare.
    pub outcome: Outcome,
    /// Values of this card that were put into the command.
    pub taken: Vec<Taken>,
    /// Fields of the answers that are not the same.
    pub differing: Vec<Differing>,
    /// Why the command cannot be repeated, if another answer is owed to that.
    pub unrepeatable: Option<&'static str>,
}

/// How an answer compares with the recorded one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is the same.
    Same,
    /// It differs in what differs each time: random values, numbers that a card assigns.
    Varies,
    /// It is another one.
    Differs,
    /// The recording has none.
    Unknown,
    /// The command was not sent.
    NotSent(NotSent),
}

/// Why a command was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// The secret of this name was left out when it was recorded, and none of that length is given.
    Secret(String),
    /// What it is about was not selected: the SELECT with this number was answered otherwise.
    Selection(usize),
    /// Its channel was not opened: see this number.
    Channel(usize),
}

/// A card or reader that was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The number of the step in which that happened.
    pub number: usize,
    /// Where to go on, with the card reset: the last reset before.
    pub resume: usize,
    /// Why.
    pub cause: TransportError,
}

/// What is sent to the card, and what is known of it.
#[derive(Debug)]
pub struct RecordedHost {
    acts: std::vec::IntoIter<Act>,
    total: usize,
    secrets: BTreeMap<String, Vec<u8>>,
    /// Whether the card was reset since the beginning: a recording may begin without.
    is_reset: bool,
    /// The last reset of the recording that was reached.
    reset: usize,
    recorded: Decoder,
    live: Decoder,
    values: Values,
    channels: Channels,
    /// Channels, as the recording calls them, on which something is missing.
    missing: BTreeMap<u8, NotSent>,
    /// Whether this card has given other random values.
    drawn: bool,
}

/// A card that goes on announcing data is asked no more often.
const MOST_FETCHED: usize = 1024;
/// P1 of SELECT: by name, and from the MF. TS 102 221 table 11.1.
const ABSOLUTE: [u8; 2] = [0x04, 0x08];

impl RecordedHost {
    /// The host of these events.
    pub fn new(events: &[Event]) -> Self {
        let acts = acts(events);
        Self {
            total: acts.len(),
            acts: acts.into_iter(),
            secrets: BTreeMap::new(),
            is_reset: false,
            reset: 1,
            recorded: Decoder::new(),
            live: Decoder::new(),
            values: Values::default(),
            channels: Channels::default(),
            missing: BTreeMap::new(),
            drawn: false,
        }
    }

    /// Values of secrets, by the names that stand for them where they were left out when the session was recorded;
    /// [`SOME_SECRET`](capture::SOME_SECRET) for PINs and PUKs.
    #[must_use]
    pub fn with_secrets(self, secrets: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        Self { secrets: secrets.into_iter().collect(), ..self }
    }

    /// How many steps there are.
    pub const fn len(&self) -> usize {
        self.total
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Sends `events` before all else, behind a reset that the session begins with: what its host did before it was recorded. Their
    /// number is 0.
    #[must_use]
    pub fn after(mut self, events: &[Event]) -> Self {
        let mut rest = self.acts.as_slice().to_vec();
        let begin = usize::from(matches!(rest.first(), Some(Act { what: Done::Reset { .. }, .. })));
        let before = acts(events).into_iter().map(|act| Act { number: 0, line: None, ..act });
        rest.splice(begin..begin, before);
        self.total = rest.len();
        self.acts = rest.into_iter();
        self
    }

    /// Begins with the step that has event `number`; `false` if the recording has fewer events.
    pub fn start_at(&mut self, number: usize) -> bool {
        let acts = self.acts.as_slice();
        let Some(last) = acts.iter().rposition(|act| act.number <= number) else { return false };
        let end = acts.get(last).map_or(0, |act| match &act.what {
            Done::Reset { .. } => act.number,
            Done::Asked(turn) => act.number + turn.exchanges.len() - 1,
        });
        if number > end && last + 1 == acts.len() {
            return false;
        }
        let rest = acts.get(last..).unwrap_or_default().to_vec();
        self.reset = rest.first().map_or(1, |act| act.number);
        self.total = rest.len();
        self.acts = rest.into_iter();
        true
    }

    /// Sends the next step to `card`; `None` when there is no more.
    ///
    /// # Errors
    /// The card or its reader was lost, or another program has reset the card.
    pub fn step<T: Transport + ?Sized>(&mut self, card: &mut T) -> Option<Result<Step, Lost>> {
        let act = self.acts.next()?;
        let number = act.number;
        let step = match &act.what {
            Done::Reset { atr, warm } => self.reset(card, &act, atr, *warm),
            Done::Asked(turn) => self.ask(card, &act, turn),
        };
        Some(step.map_err(|cause| Lost { number, resume: self.reset, cause }))
    }

    fn reset<T: Transport + ?Sized>(
        &mut self,
        card: &mut T,
        act: &Act,
        atr: &[u8],
        warm: bool,
    ) -> Result<Step, TransportError> {
        self.reset = act.number;
        self.is_reset = true;
        self.channels.clear();
        self.missing.clear();
        let answered = match if warm { card.warm_reset() } else { card.reset() } {
            Err(TransportError::Mute | TransportError::ShortResponse(_)) => Vec::new(),
            other => other?,
        };
        let (recorded, live) = (self.recorded.reset(atr, warm), self.live.reset(&answered, warm));
        let differing = if atr.is_empty() { Vec::new() } else { compare(recorded.answer(), live.answer()) };
        let outcome = match (atr.is_empty(), atr == answered) {
            (true, _) => Outcome::Unknown,
            (_, true) => Outcome::Same,
            (_, false) => Outcome::Differs,
        };
        Ok(Step {
            number: act.number,
            line: act.line,
            recorded,
            live: Some(live),
            sent: Turn::default(),
            outcome,
            taken: Vec::new(),
            differing,
            unrepeatable: None,
        })
    }

    fn ask<T: Transport + ?Sized>(&mut self, card: &mut T, act: &Act, turn: &Turn) -> Result<Step, TransportError> {
        if !self.is_reset {
            self.is_reset = true;
            card.reset()?;
        }
        let recorded = turn.explain(&mut self.recorded);
        let mut step = Step {
            number: act.number,
            line: act.line,
            recorded,
            live: None,
            sent: Turn::default(),
            outcome: Outcome::Unknown,
            taken: Vec::new(),
            differing: Vec::new(),
            unrepeatable: None,
        };
        if let Some(why) = self.hindered(turn) {
            step.outcome = Outcome::NotSent(why);
            return Ok(step);
        }
        let bound = bound(turn, &step.recorded);
        let commands = self.commands(turn, &mut step, bound.is_some_and(|bound| bound.is_sealed));
        step.sent = send(card, turn, &commands)?;
        hide(turn, self.secrets.values(), &mut step.sent);
        let live = step.sent.explain(&mut self.live);
        let (data, answered) = (turn.data(), step.sent.data());
        self.values.learn(act.number, turn, (&step.recorded, &data), (&live, &answered));
        answers(turn, &mut step, &live);
        let response = step.sent.response();
        if step.outcome == Outcome::Differs {
            step.unrepeatable = bound.filter(|bound| bound.explains(&response, self.drawn)).map(|bound| bound.why);
        }
        self.drawn |= step.differing.iter().any(|one| one.varies() == Some(Varies::Random));
        self.follow(turn, &step);
        step.live = Some(live);
        Ok(step)
    }

    /// Why a command cannot be sent now.
    fn hindered(&self, turn: &Turn) -> Option<NotSent> {
        if let Some(missing) = turn.secrets().find(|secret| self.secret(secret).is_none()) {
            return Some(NotSent::Secret(missing.name.clone()));
        }
        let command = Command::parse(turn.command()).ok()?;
        let missing = self.missing.get(&command.class.channel()).cloned()?;
        let restores = command.ins == Ins::MANAGE_CHANNEL
            || command.ins == Ins::SELECT && (ABSOLUTE.contains(&command.p1) || command.data == [0x3F, 0x00]);
        (matches!(missing, NotSent::Channel(_)) || !restores).then_some(missing)
    }

    /// What stands for a secret.
    fn secret(&self, left_out: &LeftOut) -> Option<&Vec<u8>> {
        self.secrets.get(&left_out.name).filter(|value| value.len() == left_out.range.len())
    }

    /// What is sent: with this card's values, on its channels.
    fn commands(&self, turn: &Turn, step: &mut Step, is_sealed: bool) -> Vec<Vec<u8>> {
        let as_recorded = || turn.chain().map(<[u8]>::to_vec).collect();
        let commands = if turn.secrets().next().is_some() {
            self.with_values(turn)
        } else if is_sealed {
            as_recorded()
        } else {
            let (data, taken) = self.values.fill(turn, &step.recorded);
            match cut(turn, &data).filter(|_| !taken.is_empty()) {
                Some(commands) => {
                    step.taken = taken;
                    commands
                }
                None => as_recorded(),
            }
        };
        commands.iter().map(|command| self.channels.moved(command)).collect()
    }

    /// The commands with the values of the secrets that were left out of them.
    fn with_values(&self, turn: &Turn) -> Vec<Vec<u8>> {
        let fill = |exchange: &Exchange| {
            let mut command = exchange.command.clone();
            for left_out in exchange.secrets() {
                if let (Some(octets), Some(value)) = (command.get_mut(left_out.range.clone()), self.secret(left_out)) {
                    octets.copy_from_slice(value);
                }
            }
            command
        };
        turn.exchanges.iter().take(turn.blocks).map(fill).collect()
    }

    /// What the answers mean for the commands that follow.
    fn follow(&mut self, turn: &Turn, step: &Step) {
        let Ok(command) = Command::parse(turn.command()) else { return };
        let channel = command.class.channel();
        let is_done = |turn: &Turn| {
            turn.statuses().last().is_some_and(|sw| sw.is_ok() || sw.is_warning() || matches!(sw.sw1(), 0x61 | 0x9F))
        };
        if command.ins == Ins::MANAGE_CHANNEL {
            match (turn.opened(), step.sent.opened()) {
                (Some(recorded), Some(live)) => {
                    self.missing.remove(&recorded);
                    self.channels.open(recorded, live);
                }
                (Some(recorded), None) => {
                    self.missing.insert(recorded, NotSent::Channel(step.number));
                }
                (None, _) => {}
            }
        }
        if command.ins == Ins::SELECT && is_done(turn) {
            if is_done(&step.sent) {
                self.missing.remove(&channel);
            } else {
                self.missing.insert(channel, NotSent::Selection(step.number));
            }
        }
    }
}

/// How the answers compare.
fn answers(turn: &Turn, step: &mut Step, live: &Decoded) {
    let (before, now) = (turn.response(), step.sent.response());
    if before.is_empty() {
        return;
    }
    if before == now && turn.statuses() == step.sent.statuses() {
        step.outcome = Outcome::Same;
        return;
    }
    step.differing = compare(step.recorded.answer(), live.answer());
    let varies = |one: &Differing| matches!(one.varies(), Some(Varies::Random | Varies::Assigned));
    let all_vary = !step.differing.is_empty() && step.differing.iter().all(varies);
    step.outcome = if all_vary { Outcome::Varies } else { Outcome::Differs };
}

/// Sends the commands of a turn, and what follows them: as recorded as long as the card says the same, and then what it asks for.
fn send<T: Transport + ?Sized>(card: &mut T, turn: &Turn, commands: &[Vec<u8>]) -> Result<Turn, TransportError> {
    let mut sent = Turn::default();
    for command in commands {
        if sent.exchanges.last().is_some_and(|before: &Exchange| before.response != [0x90, 0x00]) {
            // The rest of a chain that was refused is no command of its own.
            break;
        }
        sent.exchanges.push(transmit(card, command.clone())?);
        sent.blocks += 1;
    }
    let last = sent.exchanges.last().map(|last| last.command.clone()).unwrap_or_default();
    let mut recorded = turn.exchanges.iter().skip(turn.blocks.saturating_sub(1));
    let mut is_same = sent.blocks == commands.len();
    for _ in 0..MOST_FETCHED {
        let said = sent.exchanges.last().map(|last| ending(&last.response)).unwrap_or_default();
        is_same &= recorded.next().is_some_and(|before| ending(&before.response) == said);
        let next = recorded.clone().next().filter(|_| is_same);
        let before = sent.exchanges.last().map(|last| last.command.clone()).unwrap_or_default();
        let command = match (said, next) {
            ([0x6C, le], _) if next.is_some() || turn.is_complete() => with_le(&before, le),
            (_, Some(next)) if next.command.get(1) == Some(&Ins::GET_RESPONSE.0) => {
                let class = get_response(&last, 0)[0];
                let mut fetch = next.command.clone();
                if let Some(first) = fetch.first_mut() {
                    *first = class;
                }
                Some(fetch)
            }
            ([0x61 | 0x9F, le], _) if turn.is_complete() => Some(get_response(&last, le).to_vec()),
            _ => None,
        };
        let Some(command) = command else { break };
        sent.exchanges.push(transmit(card, command)?);
    }
    Ok(sent)
}

/// Leaves out of what was sent what the recording leaves out: it is compared, and told, without that. A command that had to be
/// sent again, and a response of another length, hold it elsewhere.
fn hide<'a>(turn: &Turn, secrets: impl Iterator<Item = &'a Vec<u8>>, sent: &mut Turn) {
    for value in secrets.filter(|value| value.len() >= SHORTEST_SECRET) {
        for exchange in &mut sent.exchanges {
            mask(&mut exchange.command, value);
            mask(&mut exchange.response, value);
        }
    }
    for (sent, recorded) in sent.exchanges.iter_mut().zip(&turn.exchanges) {
        let fits = |part| match part {
            Part::Command => sent.command.len() == recorded.command.len(),
            Part::Response => sent.response.len() == recorded.response.len(),
        };
        let left_out = recorded.left_out.iter().filter(|left_out| fits(left_out.part)).cloned().collect();
        *sent = Exchange { left_out, ..sent.clone() }.masked();
    }
}

/// Shorter values are in every message.
const SHORTEST_SECRET: usize = 4;

/// Puts asterisks wherever a value stands.
fn mask(octets: &mut [u8], value: &[u8]) {
    let places = octets.windows(value.len()).enumerate().filter(|(_, window)| *window == value);
    let places: Vec<usize> = places.map(|(at, _)| at).collect();
    for at in places {
        octets[at..at + value.len()].fill(MASK);
    }
}

/// The status word; zeros if there is none.
fn ending(response: &[u8]) -> [u8; 2] {
    response.last_chunk().copied().unwrap_or_default()
}

/// Sends one command; a card that stays mute has given an empty response.
fn transmit<T: Transport + ?Sized>(card: &mut T, command: Vec<u8>) -> Result<Exchange, TransportError> {
    let response = match card.transmit(&command) {
        Err(TransportError::Mute | TransportError::ShortResponse(_) | TransportError::CommandTooLong(_)) => Vec::new(),
        other => other?,
    };
    Ok(Exchange { command, response, left_out: Vec::new() })
}

#[cfg(test)]
mod tests {
    use capture::What;

    use super::*;
    use crate::testing::{dialogue, octets};

    fn session(exchanges: &[(&str, &str)]) -> Vec<Event> {
        let mut events = vec![Event::new(What::Reset { atr: octets("3B021450"), warm: false })];
        events.extend(exchanges.iter().map(|(command, response)| Event::exchange(octets(command), octets(response))));
        events
    }

    /// Sends a session to a card that expects these commands; the steps behind the reset.
    fn sent(mut host: RecordedHost, expected: &[(&str, &str)]) -> Vec<Step> {
        let mut card = dialogue(expected);
        let steps: Vec<_> = std::iter::from_fn(|| host.step(&mut card)).map(Result::unwrap).collect();
        assert!(card.is_finished(), "{steps:#?}");
        assert_eq!(steps[0].outcome, Outcome::Same);
        steps.into_iter().skip(1).collect()
    }

    fn outcomes(steps: &[Step]) -> Vec<Outcome> {
        steps.iter().map(|step| step.outcome.clone()).collect()
    }

    #[test]
    fn the_same_card_is_sent_the_same_and_answers_the_same() {
        let exchanges = [
            ("0070000001", "019000"),
            ("01A4040002A000", "6102"),
            ("01C0000002", "6F009000"),
            ("81E2110002BF2D", "9000"),
            ("81E291010100", "6102"),
            ("81C0000000", "6C02"),
            ("81C0000002", "BF2D9000"),
        ];
        let steps = sent(RecordedHost::new(&session(&exchanges)), &exchanges);
        assert_eq!(outcomes(&steps), [Outcome::Same, Outcome::Same, Outcome::Same]);
        assert_eq!(steps.iter().map(|step| step.number).collect::<Vec<_>>(), [2, 3, 5]);
    }

    /// Another channel, other lengths, and the number of a notification that this card has given.
    #[test]
    fn what_this_card_says_goes_into_later_commands() {
        let recorded = session(&[
            ("0070000001", "019000"),
            ("81E2910003BF2800", "610F"),
            ("81C000000F", "BF280CA00ABF2F07800105810207809000"),
            ("81E2910006BF3003800105", "BF30038001009000"),
            ("0070800100", "9000"),
        ]);
        let steps = sent(
            RecordedHost::new(&recorded),
            &[
                ("0070000001", "029000"),
                ("82E2910003BF2800", "6110"),
                ("82C0000010", "BF280DA00BBF2F0880020107810207809000"),
                ("82E2910007BF300480020107", "BF30038001009000"),
                ("0070800200", "9000"),
            ],
        );
        assert_eq!(outcomes(&steps), [Outcome::Varies, Outcome::Varies, Outcome::Same, Outcome::Same]);
        let taken: Vec<_> = steps[2].taken.iter().map(|one| (one.name.name, one.from, one.sent.clone())).collect();
        assert_eq!(taken, [("es10.seq_number", 3, vec![1, 7])]);
    }

    /// A challenge of the card in a command of the host, which had it from nowhere else.
    #[test]
    fn a_challenge_is_answered_with_this_cards() {
        let recorded = session(&[
            ("0084000008", "11223344556677889000"),
            ("80500000 0A FFFF 1122334455667788".replace(' ', "").leak(), "9000"),
            ("00D6000004 11111111".replace(' ', "").leak(), "9000"),
        ]);
        let steps = sent(
            RecordedHost::new(&recorded),
            &[
                ("0084000008", "8877665544332211 9000".replace(' ', "").leak()),
                ("805000000AFFFF8877665544332211", "9000"),
                ("00D600000411111111", "9000"),
            ],
        );
        assert_eq!(outcomes(&steps), [Outcome::Varies, Outcome::Same, Outcome::Same]);
        assert_eq!(steps[1].taken.len(), 1);
    }

    #[test]
    fn what_a_server_has_signed_is_sent_as_it_is_and_said_to_be() {
        let challenge = "00112233445566778899AABBCCDDEEFF";
        let other = "FFEEDDCCBBAA99887766554433221100";
        let answer = |challenge: &str| format!("BF2E128010{challenge}9000");
        let signed = format!("80E2910019BF38163014{}{}", "8110", challenge) + "8000";
        let recorded = session(&[("80E2910003BF2E00", &answer(challenge)), (&signed, "BF3804A10280009000")]);
        let steps = sent(
            RecordedHost::new(&recorded),
            &[("80E2910003BF2E00", &answer(other)), (&signed, "BF3807A1058000020101 9000".replace(' ', "").leak())],
        );
        assert_eq!(outcomes(&steps), [Outcome::Varies, Outcome::Differs]);
        assert!(steps[1].taken.is_empty() && steps[1].unrepeatable.is_some_and(|why| why.contains("euiccChallenge")));
        // The same difference with the same challenge is the card's own.
        let steps = sent(
            RecordedHost::new(&recorded),
            &[("80E2910003BF2E00", &answer(challenge)), (&signed, "BF3807A10580000201019000")],
        );
        assert_eq!((outcomes(&steps), steps[1].unrepeatable), (vec![Outcome::Same, Outcome::Differs], None));
    }

    /// Nothing is written to a file that was not selected, and no PIN try is spent on asterisks.
    #[test]
    fn what_would_hit_something_else_is_not_sent() {
        let recorded = session(&[
            ("00A40004023F00", "9000"),
            ("00A40004026F07", "9000"),
            ("00D6000001FF", "9000"),
            ("00A4080402 2FE2".replace(' ', "").leak(), "9000"),
            ("00B0000001", "989000"),
            ("0070000001", "019000"),
            ("01B0000001", "989000"),
            ("0020000108 2A2A2A2A2A2A2A2A".replace(' ', "").leak(), "9000"),
        ]);
        let answered = [
            ("00A40004023F00", "9000"),
            ("00A40004026F07", "6A82"),
            ("00A40804022FE2", "9000"),
            ("00B0000001", "989000"),
            ("0070000001", "6881"),
        ];
        let steps = sent(RecordedHost::new(&recorded), &answered);
        assert_eq!(
            outcomes(&steps),
            [
                Outcome::Same,
                Outcome::Differs,
                Outcome::NotSent(NotSent::Selection(3)),
                Outcome::Same,
                Outcome::Same,
                Outcome::Differs,
                Outcome::NotSent(NotSent::Channel(7)),
                Outcome::NotSent(NotSent::Secret("secret".into())),
            ]
        );
        let secrets = [("secret".to_owned(), octets("31323334FFFFFFFF"))];
        let host = RecordedHost::new(&recorded).with_secrets(secrets);
        let with_pin = [&answered[..], &[("002000010831323334FFFFFFFF", "9000")]].concat();
        assert_eq!(sent(host, &with_pin).last().map(|step| step.outcome.clone()), Some(Outcome::Same));
    }

    /// What a command that has to be sent again holds, and what a card says of it, is told without the secret.
    #[test]
    fn a_secret_is_hidden_wherever_it_stands() {
        let recorded = session(&[("00200001082A2A2A2A2A2A2A2A", "9000")]);
        let host = RecordedHost::new(&recorded).with_secrets([("secret".to_owned(), octets("31323334FFFFFFFF"))]);
        let again =
            [("002000010831323334FFFFFFFF", "6C02"), ("002000010831323334FFFFFFFF02", "31323334FFFFFFFF019000")];
        let steps = sent(host, &again);
        let told: Vec<_> = steps[0].sent.exchanges.iter().flat_map(|one| [&one.command, &one.response]).collect();
        assert!(told.iter().all(|one| !one.windows(4).any(|window| window == b"1234")), "{told:02X?}");
    }

    #[test]
    fn a_lost_card_says_where_to_go_on() {
        let mut events = session(&[("00A40004023F00", "9000")]);
        events.extend(session(&[("00A40004023F00", "9000"), ("00B0000001", "989000")]));
        let mut host = RecordedHost::new(&events);
        assert!(host.start_at(3) && !RecordedHost::new(&events).start_at(6));
        let mut card = dialogue(&[("00A40004023F00", "9000")]);
        let steps: Vec<_> = std::iter::from_fn(|| host.step(&mut card)).collect();
        let lost = steps[2].as_ref().unwrap_err();
        assert_eq!((steps.len(), lost.number, lost.resume), (3, 5, 3));
    }
}
