//! Dialogues made wrong: what a careless or hostile host sends.

use crate::dialogues::Dialogue;
use crate::host::store_data;

/// Numbers that look random and are the same in every run (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    /// A number below `sides`; 0 if there are none.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % (sides.max(1) as u64)).unwrap_or_default()
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        u8::try_from(self.roll(256)).unwrap_or_default()
    }

    /// A byte that tends to be at a border.
    fn border(&mut self) -> u8 {
        const BORDERS: [u8; 16] =
            [0x00, 0x01, 0x02, 0x04, 0x10, 0x7F, 0x80, 0x81, 0x82, 0x83, 0x84, 0x88, 0xA0, 0xBF, 0xFE, 0xFF];
        if self.roll(4) == 0 { self.byte() } else { BORDERS.get(self.roll(16)).copied().unwrap_or_default() }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }
}

/// What a host does to a card.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends a command.
    Command(Vec<u8>),
    /// Pulls RST.
    Reset,
}

/// A part of a dialogue, with one to four faults in it.
///
/// The opening stays; of what follows, at most `longest` commands are taken from somewhere, so that a fault meets a card in
/// any state.
pub fn mutated(dialogues: &[Dialogue], longest: usize, dice: &mut Dice) -> Vec<Step> {
    let Some(dialogue) = dialogues.get(dice.roll(dialogues.len())) else { return Vec::new() };
    let (opening, body) = dialogue.commands.split_at(dialogue.opening.min(dialogue.commands.len()));
    let start = if body.len() > longest { dice.roll(body.len() - longest) } else { 0 };
    let part = body.iter().skip(start).take(longest);
    let mut steps: Vec<Step> = opening.iter().chain(part).cloned().map(Step::Command).collect();
    for _ in 0..=dice.roll(4) {
        break_one(&mut steps, opening.len(), dialogues, dice);
    }
    steps
}

/// The whole dialogue with this many faults in it.
pub fn mutated_whole(dialogue: &Dialogue, faults: usize, dice: &mut Dice) -> Vec<Step> {
    let mut steps: Vec<Step> = dialogue.commands.iter().cloned().map(Step::Command).collect();
    for _ in 0..faults {
        break_one(&mut steps, dialogue.opening, core::slice::from_ref(dialogue), dice);
    }
    steps
}

/// One of these, with one to four faults in its octets.
pub fn mutated_octets(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let Some(mut octets) = seeds.get(dice.roll(seeds.len())).cloned() else { return Vec::new() };
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(octets.len());
        match dice.roll(8) {
            0 => octets.truncate(at),
            1 => {
                let count = 1 + dice.roll(8);
                octets.extend(dice.bytes(count));
            }
            2 => octets.insert(at.min(octets.len()), dice.border()),
            3 if at < octets.len() => drop(octets.remove(at)),
            4 => {
                // Its beginning, and another one's end.
                let other = seeds.get(dice.roll(seeds.len())).map(Vec::as_slice).unwrap_or_default();
                octets.truncate(at);
                octets.extend_from_slice(other.get(dice.roll(other.len())..).unwrap_or_default());
            }
            5 => {
                if let Some(octet) = octets.get_mut(at) {
                    *octet ^= 1 << dice.roll(8);
                }
            }
            _ => {
                if let Some(octet) = octets.get_mut(at) {
                    *octet = dice.border();
                }
            }
        }
    }
    octets
}

fn break_one(steps: &mut Vec<Step>, opening: usize, dialogues: &[Dialogue], dice: &mut Dice) {
    // Mostly behind the opening; sometimes in it.
    let from = if dice.roll(8) == 0 { 0 } else { opening.min(steps.len()) };
    let at = from + dice.roll(steps.len() - from);
    let other = from + dice.roll(steps.len() - from);
    match dice.roll(12) {
        0 => steps.insert(at.min(steps.len()), Step::Reset),
        1 if at < steps.len() => drop(steps.remove(at)),
        2 if at < steps.len() && other < steps.len() => steps.swap(at, other),
        3 if at < steps.len() => {
            let again = steps[at].clone();
            steps.insert(other.min(steps.len()), again);
        }
        4 => {
            let foreign = dialogues.get(dice.roll(dialogues.len())).map_or(&[][..], |dialogue| &dialogue.commands);
            if let Some(command) = foreign.get(dice.roll(foreign.len())) {
                steps.insert(at.min(steps.len()), Step::Command(command.clone()));
            }
        }
        5 => {
            let length = 1 + dice.roll(40);
            steps.insert(at.min(steps.len()), Step::Command(dice.bytes(length)));
        }
        6 => {
            let chain = store_data_chain(dice).into_iter().map(Step::Command);
            let at = at.min(steps.len());
            steps.splice(at..at, chain);
        }
        _ => {
            if let Some(Step::Command(command)) = steps.get_mut(at) {
                break_command(command, dialogues, dice);
            }
        }
    }
}

fn break_command(command: &mut Vec<u8>, dialogues: &[Dialogue], dice: &mut Dice) {
    let at = dice.roll(command.len());
    match dice.roll(9) {
        0 => command.truncate(at),
        1 => {
            let length = 1 + dice.roll(300);
            command.extend(dice.bytes(length));
        }
        2 => {
            let count = dice.roll(4);
            let end = (at + count).min(command.len());
            let length = dice.roll(6);
            let replacement = dice.bytes(length);
            command.splice(at..end, replacement);
        }
        3 => {
            // The head of this, the tail of another.
            let foreign = dialogues.get(dice.roll(dialogues.len())).map_or(&[][..], |dialogue| &dialogue.commands);
            if let Some(other) = foreign.get(dice.roll(foreign.len())) {
                command.truncate(at);
                command.extend(other.iter().skip(dice.roll(other.len())));
            }
        }
        4 => {
            // Another channel, secure messaging, chaining.
            if let Some(class) = command.first_mut() {
                *class = dice.byte();
            }
        }
        5 => {
            let header = dice.roll(5);
            if let Some(byte) = command.get_mut(header) {
                *byte = dice.border();
            }
        }
        6 => {
            if let Some(byte) = command.get_mut(at) {
                *byte = dice.border();
            }
        }
        _ => {
            for _ in 0..=dice.roll(3) {
                let (at, bit) = (dice.roll(command.len()), dice.roll(8));
                if let Some(byte) = command.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
        }
    }
}

/// STORE DATA for nobody: nested, over-long, endless, out of order.
fn store_data_chain(dice: &mut Dice) -> Vec<Vec<u8>> {
    let class = [0x80, 0x81, 0xC0][dice.roll(3)];
    match dice.roll(4) {
        // Constructed tags all the way down.
        0 => {
            let length = 255 * (1 + dice.roll(6));
            store_data(class, &[0x30, 0x82].repeat(length / 2), 255)
        }
        // More than the block number can count.
        1 => {
            let block = dice.bytes(4);
            let count = 200 + dice.roll(100);
            (0..count).map(|n| [&[class, 0xE2, 0x11, n.to_le_bytes()[0], 4][..], &block].concat()).collect()
        }
        // A length that promises more, or less.
        2 => {
            let promised = dice.border();
            let size = dice.roll(200);
            let body = dice.bytes(size);
            store_data(class, &[&[0xBF, dice.border(), promised][..], &body].concat(), 1 + dice.roll(255))
        }
        _ => {
            let size = 20 + dice.roll(400);
            let body = dice.bytes(size);
            let mut chain = store_data(class, &body, 20 + dice.roll(60));
            let (a, b) = (dice.roll(chain.len()), dice.roll(chain.len()));
            chain.swap(a, b);
            chain
        }
    }
}
