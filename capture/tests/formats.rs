//! Whatever a client sends and a card answers is written and read back, in every format, and never costs the rest.

use std::time::Duration;

use capture::{Encoder, Event, Format, LeftOut, MASK, Part, What, gsmtap, read, write};

const FORMATS: [Format; 4] = [Format::Text, Format::JsonLines, Format::Pcap, Format::PcapNg];

/// Numbers that look random and are the same in each run. Marsaglia's xorshift.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % limit
    }

    fn one_of<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.below(these.len())]
    }

    fn octets(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.below(256).to_le_bytes()[0]).collect()
    }
}

const CAUSES: &[&str] = &[
    "the card was removed",
    "",
    "power off",
    "POWER_ON",
    "no answer",
    "no answer: 90",
    "no response",
    "failed",
    "failed: twice",
    "> 0020000108",
    "< 9000",
    "a # b: c (7 µs)",
    "(k: 4 octets)",
    "secret x",
];

/// Masks octets of one half and says so.
fn leave_out(octets: &mut [u8], part: Part, limit: usize, numbers: &mut Numbers, left_out: &mut Vec<LeftOut>) {
    let mut at = 0;
    while at < limit && numbers.below(2) == 0 {
        let start = at + numbers.below(limit - at);
        let end = start + 1 + numbers.below((limit - start).min(20));
        octets[start..end].fill(MASK);
        left_out.push(LeftOut {
            part,
            range: start..end,
            name: numbers.one_of(&["k", "adm-1", "secret", "pin_2"]).into(),
        });
        at = end + 1;
    }
}

/// An event as it is read again: secrets masked.
fn event(numbers: &mut Numbers) -> Event {
    let lengths = [0, 1, 2, 3, 4, 5, 6, 7, 12, 255, 260, 300];
    let length = numbers.one_of(&lengths);
    let mut command = numbers.octets(length);
    let mut left_out = Vec::new();
    match numbers.below(6) {
        0 => leave_out(&mut command, Part::Command, length, numbers, &mut left_out),
        1 => {
            // A PIN, with an Lc that counts it or not.
            let pin = numbers.below(12);
            command = vec![0, 0x20, 0, 1, numbers.one_of(&[8, 0, 16])];
            command.extend(vec![MASK; pin]);
            if pin > 0 {
                left_out.push(LeftOut { part: Part::Command, range: 5..5 + pin, name: "secret".into() });
            }
        }
        _ => {}
    }
    if capture::secret_part(&command).is_some() && left_out.is_empty() {
        command[1] = 0xA4;
    }
    if let Some(pin) = capture::secret_part(&command)
        && left_out[0].range != pin
    {
        command[1] = 0xA4;
    }
    match numbers.below(12) {
        0 => {
            let atr = numbers.one_of(&[0, 2, 17]);
            Event::new(What::Reset { atr: numbers.octets(atr), warm: numbers.below(2) == 0 })
        }
        1 => Event::new(What::PowerOff),
        2 => {
            let cause = numbers.one_of(CAUSES).to_owned();
            if command.is_empty() {
                left_out.clear();
            }
            Event { left_out, ..Event::new(What::Failed { command, cause }) }
        }
        _ => {
            let length = numbers.one_of(&[0, 1, 2, 2, 2, 3, 18, 258]);
            let mut response = numbers.octets(length);
            if numbers.below(4) == 0 {
                leave_out(&mut response, Part::Response, length.saturating_sub(2), numbers, &mut left_out);
            }
            let took = u64::try_from(numbers.below(5_000_000)).map(Duration::from_micros).ok();
            Event { took, left_out, ..Event::exchange(command, response) }
        }
    }
}

fn dialogue(seed: u64) -> Vec<Event> {
    let mut numbers = Numbers(seed);
    let at = |second: u64| Some(Duration::from_micros(1_700_000_000_000_000 + second));
    (0..60).map(|second| Event { at: at(second), ..event(&mut numbers) }).collect()
}

/// What a format has room for.
fn kept(events: &[Event], format: Format) -> Vec<Event> {
    let kept = |event: &Event| Event {
        at: event.at.filter(|_| format != Format::Text),
        took: event.took.filter(|_| format != Format::Pcap),
        ..event.clone()
    };
    events.iter().map(kept).collect()
}

fn without_lines(events: Vec<Event>) -> Vec<Event> {
    events.into_iter().map(|event| Event { line: None, ..event }).collect()
}

#[test]
fn every_format_gives_back_what_was_written() {
    for seed in 1..=200_u64 {
        let events = dialogue(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        for format in FORMATS {
            let written = write(format, &events);
            let session = read(&written).unwrap_or_else(|error| panic!("{format:?}, {seed}: {error}"));
            let read = without_lines(session.events);
            let expected = kept(&events, format);
            for (read, expected) in read.iter().zip(&expected) {
                assert_eq!(read, expected, "{format:?}, {seed}");
            }
            assert_eq!(read.len(), expected.len(), "{format:?}, {seed}");
            assert_eq!(write(format, &read), write(format, &expected), "{format:?}: written again it is the same");
        }
    }
}

#[test]
fn the_longest_command_is_carried_answered_or_not() {
    let command = Numbers(7).octets(4 + 3 + 65_535 + 2);
    for response in [vec![], vec![0x67], vec![0x67, 0x00], vec![0xAA; 65_538]] {
        let events = [Event::exchange(command.clone(), response), Event::new(What::PowerOff)];
        for format in FORMATS {
            assert_eq!(without_lines(read(&write(format, &events)).unwrap().events), events, "{format:?}");
        }
    }
}

/// One such command in the middle used to make a whole recording unreadable.
#[test]
fn a_fragment_costs_nothing_else() {
    let select = Event::exchange([0, 0xA4, 0, 4, 2, 0x3F, 0], [0x61, 0x1C]);
    for length in 0..4 {
        let fragment = Event::exchange(vec![0xA4; length], [0x67, 0x00]);
        let events = [select.clone(), fragment, select.clone()];
        for format in FORMATS {
            assert_eq!(without_lines(read(&write(format, &events)).unwrap().events), events, "{format:?}, {length}");
        }
        let digits = "A4".repeat(length);
        let pysim = format!("-> 00a40004\n<- 9000: \n-> 0{}\n<- 6700: \n", digits.get(1..).unwrap_or("0"));
        assert_eq!(read(pysim.as_bytes()).unwrap().events.len(), 2);
        let ask = |param: &str| {
            format!("{{\"type\":\"apdu\",\"payload\":{{\"func\":\"transmit\",\"param\":\"{param}\"}}}}\n")
        };
        let answer = "{\"type\":\"apdu\",\"payload\":{\"ecode\":0,\"data\":\"6700\"}}\n";
        let stdio = read(format!("{}{answer}{}{answer}", ask("00A40004"), ask(&digits)).as_bytes()).unwrap();
        assert_eq!(stdio.events[1].what, Event::exchange(vec![0xA4; length], [0x67, 0x00]).what);
    }
}

/// What others have recorded never begins a line of its own, so that none of it becomes a command.
#[test]
fn foreign_words_stay_in_their_line() {
    let cause = "gone\n> 0020000108\r> 00\u{85}\u{2028}> 00\u{1B}[2J".to_owned();
    let events = [Event::new(What::Failed { command: vec![0, 0xA4, 0, 4], cause })];
    for format in FORMATS {
        let session = read(&write(format, &events)).unwrap();
        let [Event { what: What::Failed { cause, .. }, .. }] = session.events.as_slice() else { panic!("{session:?}") };
        assert_eq!(cause, "gone > 0020000108 > 00  > 00 [2J", "{format:?}");
    }
    let json = r#"{"event":"failed","command":"00A40004","cause":"gone\n> 0020000108"}"#;
    let text = write(Format::Text, &read(json.as_bytes()).unwrap().events);
    assert!(!String::from_utf8(text).unwrap().lines().any(|line| line.starts_with("> ")));
    let mut labelled = Encoder::new(Format::Text).labelled("a\n> 00", 0);
    assert_eq!(labelled.event(&Event::new(What::PowerOff)), b"a > 00 raw\na > 00 # power off\n");
}

/// Packets that go out one by one are read again where they are captured.
#[test]
fn packets_carry_any_exchange() {
    for length in 0..8 {
        for answer in 0..4 {
            let event = Event::exchange(vec![0x11; length], vec![0x90; answer]);
            let mut encoder = Encoder::new(Format::Pcap);
            let mut captured = encoder.header();
            for packet in gsmtap::datagrams(&event, 0) {
                captured.extend(encoder.datagram(Duration::from_secs(1), &packet));
            }
            assert_eq!(read(&captured).unwrap().events[0].what, event.what);
        }
    }
}
