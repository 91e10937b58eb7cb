//! Fitting a dialect: the rows by which the emulated card answers as the card did.
//!
//! Where an answer differs, the rows that could explain it are tried, the most general first; one is kept if it mends more than
//! it breaks. What no row explains stays a difference, which the description names.

use crate::description::{Difference, Learned, Octets, ReadAccess};
use crate::exchange::{Answer, Probe, TO_BE_FETCHED, ask, status_word};
use crate::learn::Outside;
use crate::scan::{Content, Shape, select, selected};
use apdu::{StatusWord, Transport};

/// Makes an emulated card from what was learned; the error is in words.
pub type Build<'a> = dyn FnMut(&Learned, &Outside) -> Result<Box<dyn Transport>, String> + 'a;

/// Makes the emulated card.
pub struct BuildTwin<'a> {
    /// Names of the habits that it may be given.
    pub habits: &'a [&'a str],
    /// Makes it, as described; the error is in words.
    pub build: &'a mut Build<'a>,
    /// How specific a rule is: of two that fit, the higher one is asked first. An error if it is none.
    pub weight: &'a dyn Fn(&str) -> Result<u32, String>,
}

/// Fits the dialect to the answers.
pub(crate) fn fit(
    learned: &mut Learned,
    outside: &Outside,
    answers: &[(Probe, Answer)],
    twin: &mut BuildTwin<'_>,
    told: &mut dyn FnMut(usize),
) -> Result<(), String> {
    learned.dialect = crate::description::LearnedDialect::default();
    access(learned, outside, twin)?;
    let mut fitting = Fitting { learned, outside, answers, twin, wrong: Vec::new() };
    let all: Vec<usize> = (0..answers.len()).collect();
    fitting.wrong = fitting.mismatches(&all)?;
    told(fitting.wrong.len());
    fitting.habits()?;
    let mut round = 0;
    loop {
        let before = fitting.wrong.len();
        fitting.rules(told)?;
        fitting.habits()?;
        told(fitting.wrong.len());
        round += 1;
        if fitting.wrong.is_empty() || fitting.wrong.len() >= before || round == ROUNDS {
            break;
        }
    }
    fitting.prune()?;
    fitting.differences()
}

/// Times that all mismatches are gone through.
const ROUNDS: usize = 2;

/// Files whose rules say one thing, while the card does another.
fn access(learned: &mut Learned, outside: &Outside, twin: &mut BuildTwin<'_>) -> Result<(), String> {
    let mut card = (twin.build)(learned, outside)?;
    for number in 0..learned.files.len() {
        let Some(file) = learned.files.get_mut(number) else { break };
        let Some(shape) = Shape::of(&file.fcp.0).filter(|shape| !shape.is_directory) else { continue };
        let is_known = file.content.is_some() || file.records.is_some() || file.unread.is_some();
        let command = match shape.content {
            Content::Transparent(size) => [0x00, 0xB0, 0x00, 0x00, u8::try_from(size.min(1)).unwrap_or_default()],
            Content::Records { length, .. } => [0x00, 0xB2, 0x01, 0x04, length],
            _ => continue,
        };
        let failed = |error: apdu::TransportError| error.to_string();
        selected(&mut card, &select(&file.path, false)).map_err(failed)?;
        let response = card.transmit(&command).map_err(failed)?;
        let reads = status_word(&response).is_some_and(|sw| sw.is_ok() || sw.is_warning());
        let may = file.unread.is_none();
        file.read = (is_known && reads != may).then_some(if may { ReadAccess::Always } else { ReadAccess::Never });
    }
    Ok(())
}

struct Fitting<'a, 'b> {
    learned: &'a mut Learned,
    outside: &'a Outside,
    answers: &'a [(Probe, Answer)],
    twin: &'a mut BuildTwin<'b>,
    /// Numbers of the answers that differ.
    wrong: Vec<usize>,
}

impl Fitting<'_, '_> {
    fn twin(&mut self) -> Result<Box<dyn Transport>, String> {
        (self.twin.build)(self.learned, self.outside)
    }

    /// Which of these probes the emulated card answers otherwise.
    fn mismatches(&mut self, numbers: &[usize]) -> Result<Vec<usize>, String> {
        let mut card = self.twin()?;
        let mut wrong = Vec::new();
        for number in numbers {
            let Some((probe, answer)) = self.answers.get(*number) else { continue };
            let own = ask(&mut card, probe).map_err(|error| error.to_string())?;
            if own.responses != answer.responses {
                wrong.push(*number);
            }
        }
        Ok(wrong)
    }

    /// Tries a rule for a probe whose answer differs. It is kept if that is mended and no answer that was right becomes wrong.
    fn try_rule(&mut self, number: usize, rule: &str, weight: u32) -> Result<bool, String> {
        if self.learned.dialect.rules.iter().any(|other| other == rule) {
            return Ok(false);
        }
        let before = self.learned.dialect.rules.clone();
        let weigh = self.twin.weight;
        let at = before.iter().position(|other| weigh(other).unwrap_or_default() < weight);
        self.learned.dialect.rules.insert(at.unwrap_or(before.len()), rule.to_owned());
        let Some((probe, _)) = self.answers.get(number) else { return Ok(false) };
        // A rule for a whole class is about each of its instructions.
        let names_ins = rule.split(' ').any(|condition| condition.starts_with("ins="));
        let concerned = self.concerned(probe.ins().filter(|_| names_ins));
        let (wrong, right): (Vec<usize>, Vec<usize>) = concerned.into_iter().partition(|at| self.wrong.contains(at));
        let mut card = self.twin()?;
        let is_good = self.is_alike(&mut card, number)? && self.are_alike(&mut card, &right)?;
        if !is_good {
            self.learned.dialect.rules = before;
            return Ok(false);
        }
        for number in wrong {
            if self.is_alike(&mut card, number)? {
                self.wrong.retain(|other| *other != number);
            }
        }
        Ok(true)
    }

    /// The probes that a rule for an instruction can concern.
    fn concerned(&self, ins: Option<u8>) -> Vec<usize> {
        // The setup selects, and what GET RESPONSE brings hangs on the command before.
        let ins = ins.filter(|ins| ![0xA4, 0xC0].contains(ins));
        let uses = |probe: &Probe| {
            let mut commands = probe.setup.iter().chain([&probe.command]).chain(&probe.cleanup);
            ins.is_none_or(|ins| commands.any(|command| command.get(1) == Some(&ins)))
        };
        self.answers.iter().enumerate().filter(|(_, (probe, _))| uses(probe)).map(|(number, _)| number).collect()
    }

    fn is_alike(&self, card: &mut Box<dyn Transport>, number: usize) -> Result<bool, String> {
        let Some((probe, answer)) = self.answers.get(number) else { return Ok(false) };
        let own = ask(card, probe).map_err(|error| error.to_string())?;
        Ok(own.responses == answer.responses)
    }

    fn are_alike(&self, card: &mut Box<dyn Transport>, numbers: &[usize]) -> Result<bool, String> {
        for number in numbers {
            if !self.is_alike(card, *number)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tries a change of the dialect; it is kept if fewer answers differ.
    fn try_change(&mut self, change: impl FnOnce(&mut Learned)) -> Result<bool, String> {
        let before = self.learned.dialect.clone();
        change(self.learned);
        let now = self.mismatches(&self.concerned(None))?;
        let is_better = now.len() < self.wrong.len();
        if is_better {
            self.wrong = now;
        } else {
            self.learned.dialect = before;
        }
        Ok(is_better)
    }

    fn habits(&mut self) -> Result<(), String> {
        for habit in self.twin.habits.iter().map(|habit| (*habit).to_owned()).collect::<Vec<_>>() {
            if !self.learned.dialect.habits.contains(&habit) && !self.wrong.is_empty() {
                self.try_change(|learned| learned.dialect.habits.push(habit))?;
            }
        }
        Ok(())
    }

    fn rules(&mut self, told: &mut dyn FnMut(usize)) -> Result<(), String> {
        let mut in_vain = Vec::new();
        for number in self.wrong.clone() {
            if !self.wrong.contains(&number) {
                continue;
            }
            let Some((probe, answer)) = self.answers.get(number) else { continue };
            let rules = core::mem::take(&mut self.learned.dialect.rules);
            let plain = self.own(number);
            self.learned.dialect.rules = rules;
            let (plain, own) = (plain?, self.own(number)?);
            // What has explained nothing of one probe explains nothing of the next like it.
            let header = probe.command.get(..4).map(<[u8]>::to_vec);
            let like = (header, plain.first(), own.first(), answer.first());
            if in_vain.contains(&like) {
                continue;
            }
            let mut tried: Vec<String> = Vec::new();
            for rule in candidates(probe, &plain, answer).into_iter().chain(candidates(probe, &own, answer)) {
                if !tried.contains(&rule) {
                    tried.push(rule);
                }
            }
            for rule in tried {
                let Ok(weight) = (self.twin.weight)(&rule) else { continue };
                let kept = self.try_rule(number, &rule, weight)?;
                if kept {
                    told(self.wrong.len());
                }
                if !self.wrong.contains(&number) {
                    break;
                }
            }
            if self.wrong.contains(&number) {
                in_vain.push(like);
            }
        }
        Ok(())
    }

    /// What the emulated card answers to a probe.
    fn own(&mut self, number: usize) -> Result<Answer, String> {
        let mut card = self.twin()?;
        let Some((probe, _)) = self.answers.get(number) else { return Err("there is no such probe".to_owned()) };
        ask(&mut card, probe).map_err(|error| error.to_string())
    }

    /// Rules that others have made needless go.
    fn prune(&mut self) -> Result<(), String> {
        let right: Vec<usize> = (0..self.answers.len()).filter(|number| !self.wrong.contains(number)).collect();
        for rule in self.learned.dialect.rules.clone() {
            let before = self.learned.dialect.rules.clone();
            self.learned.dialect.rules.retain(|other| *other != rule);
            let mut card = self.twin()?;
            if !self.are_alike(&mut card, &right)? {
                self.learned.dialect.rules = before;
            }
        }
        Ok(())
    }

    fn differences(&mut self) -> Result<(), String> {
        let octets = |answer: &Answer| answer.responses.iter().cloned().map(Octets).collect::<Vec<_>>();
        let mut differences = Vec::new();
        for number in self.wrong.clone() {
            let own = self.own(number)?;
            let Some((probe, answer)) = self.answers.get(number) else { continue };
            differences.push(Difference {
                probe: probe.kind.to_owned(),
                command: Octets(probe.command.clone()),
                card: octets(answer),
                emulated: octets(&own),
            });
        }
        self.learned.differences = differences;
        Ok(())
    }
}

/// Rules that would make the answer of one the answer of the other, the most general first.
fn candidates(probe: &Probe, own: &Answer, card: &Answer) -> Vec<String> {
    let ([cla, ins, p1, p2, body @ ..], Some(own_sw), Some(card_sw)) =
        (probe.command.as_slice(), own.first(), card.first())
    else {
        return Vec::new();
    };
    let mut rules = Vec::new();
    let le = match body {
        [] => "le=none ",
        [0] => "le=00 ",
        [_] => "le=some ",
        _ => "lc=some ",
    };
    let is_unknown = |sw: StatusWord| sw == StatusWord::CLA_NOT_SUPPORTED || sw == StatusWord::INS_NOT_SUPPORTED;
    // Known under the other class, first of all.
    if is_unknown(own_sw) && !is_unknown(card_sw) && matches!(cla, 0x00 | 0x80) {
        rules.push(format!("cla={cla:02X}/80 ins={ins:02X} -> cla={:02X}/80", cla ^ 0x80));
        rules.push(format!("cla={cla:02X} ins={ins:02X} -> cla={:02X}/80", cla ^ 0x80));
    }
    // Which of the two it says where an instruction stands under the other class is one choice for all of them.
    if is_unknown(own_sw) && is_unknown(card_sw) && matches!(cla, 0x00 | 0x80) {
        rules.push(format!("cla={cla:02X}/80 sw={:04X} -> {:04X}", own_sw.0, card_sw.0));
        rules.push(format!("cla={cla:02X} sw={:04X} -> {:04X}", own_sw.0, card_sw.0));
    }
    let forms = forms(*cla, *ins, *p1, *p2, le);
    let stands_alone = card.responses.len() == 1 && card.responses.first().is_some_and(|response| response.len() == 2);
    let first_alone = card.responses.first().is_some_and(|response| response.len() == 2);
    if own_sw.sw1() == 0x6C && card_sw.is_ok() && !stands_alone {
        rules.extend(forms.iter().map(|form| format!("{form}sw=6Cxx -> exact")));
    }
    rules.extend(rewritten(*ins, *p1, *p2, le, card_sw));
    // A length that it tells hangs on the file; none at all does not.
    let tells_length = card_sw.sw1() == 0x6C && card_sw != StatusWord::exact_length(256);
    let is_fetched = matches!(card_sw.sw1(), 0x61 | TO_BE_FETCHED);
    if first_alone && !is_fetched && !tells_length {
        let numbered = matches!(own_sw.sw1(), 0x61 | 0x63 | 0x6C);
        let pattern = if numbered { format!("{:02X}xx", own_sw.sw1()) } else { format!("{:04X}", own_sw.0) };
        let sw = format!("sw={pattern} -> {:04X}", card_sw.0);
        let carried_out = own_sw.is_ok() || own_sw.sw1() == 0x61;
        // Refused in other words first; then forms that are refused whatever the file.
        if !carried_out {
            rules.extend(forms.iter().map(|form| format!("{form}{sw}")));
        }
        rules.extend(forms.iter().map(|form| format!("{form}-> {:04X}", card_sw.0)));
        if carried_out {
            rules.extend(forms.iter().map(|form| format!("{form}{sw}")));
            if card_sw.is_ok() {
                rules.extend(forms.iter().map(|form| format!("{form}-> silent")));
            }
        }
    }
    rules
}

/// Rules by which a command is carried out as if its parameters were others.
fn rewritten(ins: u8, p1: u8, p2: u8, le: &str, card_sw: StatusWord) -> Vec<String> {
    let carried_out = card_sw.is_ok() || card_sw.is_warning() || matches!(card_sw.sw1(), 0x61 | 0x6C);
    if !carried_out && card_sw.sw1() != 0x6A {
        return Vec::new();
    }
    let answers = p2 & 0x0C;
    let mut rules = Vec::new();
    for taken in ["p2=0C", "p2=04", "p2=00"] {
        rules.push(format!("ins={ins:02X} p2={answers:02X}/0C -> {taken}/0C"));
        rules.push(format!("ins={ins:02X} p1={p1:02X} p2={answers:02X}/0C -> {taken}"));
        rules.push(format!("ins={ins:02X} p2={:02X}/F0 -> {taken}", p2 & 0xF0));
        rules.push(format!("ins={ins:02X} p1={p1:02X} p2={:02X}/F0 -> {taken}", p2 & 0xF0));
        rules.push(format!("ins={ins:02X} p1={p1:02X} p2={p2:02X} -> {taken}"));
    }
    for taken in ["p1=00", "p1=04"] {
        rules.push(format!("ins={ins:02X} p1={p1:02X} {le}-> {taken}"));
        rules.push(format!("ins={ins:02X} p1={p1:02X} p2={p2:02X} {le}-> {taken}"));
    }
    rules.push(format!("ins={ins:02X} p1={:02X}/E0 -> p1={:02X}/E0", p1 & 0xE0, p1 & 0x80));
    rules.push(format!("ins={ins:02X} p1={:02X}/E0 -> p1=00/E0", p1 & 0xE0));
    rules
}

/// Conditions that a command meets, the most general first; each ends with a blank.
fn forms(cla: u8, ins: u8, p1: u8, p2: u8, le: &str) -> Vec<String> {
    let i = format!("ins={ins:02X} ");
    let class = if cla.trailing_zeros() >= 4 || cla == 0xFF {
        format!("cla={cla:02X} ")
    } else {
        format!("cla={:X}x ", cla >> 4)
    };
    let first = format!("p1={p1:02X} ");
    let second = format!("p2={p2:02X} ");
    let sfi_first = format!("p1={:02X}/80 ", p1 & 0x80);
    let mode = format!("p2={:02X}/07 ", p2 & 0x07);
    let sfi_second = if p2 & 0xF8 == 0 { "p2=00/F8 ".to_owned() } else { String::new() };
    let mut forms = Vec::new();
    // Of an instruction or class that is unknown, the header says nothing more.
    if !matches!(cla, 0x00 | 0x80) {
        forms.push(class.clone());
        forms.push(format!("cla={cla:02X} "));
    }
    for parameters in [
        String::new(),
        le.to_owned(),
        sfi_first.clone(),
        mode.clone(),
        first.clone(),
        second.clone(),
        format!("{sfi_first}{le}"),
        format!("{mode}{sfi_second}"),
        format!("{mode}{le}"),
        format!("{first}{le}"),
        format!("{second}{le}"),
        format!("{first}{mode}"),
        format!("{first}{second}"),
        format!("{first}{second}{le}"),
    ] {
        // Where a class is unknown, so is the instruction; nothing of what it does under another says how that is told.
        if matches!(cla, 0x00 | 0x80) {
            forms.push(format!("cla={:02X}/80 {i}{parameters}", cla & 0x80));
            forms.push(format!("cla={cla:02X} {i}{parameters}"));
        } else {
            forms.push(format!("{class}{i}{parameters}"));
        }
    }
    forms.dedup();
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_go_from_the_general_to_the_special() {
        let answer = |sw: u16| Answer { responses: vec![sw.to_be_bytes().to_vec()], has_proactive: false };
        let probe = Probe::new("READ", Vec::new(), vec![0x00, 0xB0, 0x9F, 0x00, 0x01]);
        let rules = candidates(&probe, &answer(0x6A86), &answer(0x6986));
        assert!(rules.contains(&"cla=00/80 ins=B0 sw=6A86 -> 6986".to_owned()), "{rules:?}");
        assert!(rules.contains(&"cla=00/80 ins=B0 p1=80/80 sw=6A86 -> 6986".to_owned()), "{rules:?}");
        let unknown = candidates(&probe, &answer(0x6E00), &answer(0x6A82));
        assert_eq!(unknown[0], "cla=00/80 ins=B0 -> cla=80/80", "{unknown:?}");
        let other_word = candidates(&probe, &answer(0x6E00), &answer(0x6D00));
        assert_eq!(other_word[0], "cla=00/80 sw=6E00 -> 6D00", "{other_word:?}");
        // What there is to fetch hangs on the file.
        let select = Probe::new("SELECT", Vec::new(), vec![0xA0, 0xA4, 0x00, 0x00, 0x02, 0x3F, 0x00]);
        let fetched = candidates(&select, &answer(0x6E00), &answer(0x9F17));
        assert!(!fetched.iter().any(|rule| rule.ends_with("9F17")), "{fetched:?}");
    }
}
