//! What applications build on beside files: events, proactive commands, remote commands, the registry, a runtime they
//! share, chained and protected commands. Each with a small application of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use apdu::{Aid, Command, Ins, Response, SecureMessaging, StatusWord};
use card_os::nvm::{Key, MemoryNvm, Nvm, NvmError, Update};
use card_os::{
    Application, ApplicationKind, ApplicationRecord, Card, CardProfile, Context, Device, DomainId, DomainImage,
    DomainView, Entropy, Event, EventKind, LoadFile, MenuItem, NewApplication, Opened, Origin, Outcome, Port,
    Privileges, ProactiveCommand, Registration, Remote, Runtime, TerminalResponse, Undone, Unsecured,
};
use hex_literal::hex;
use std::sync::{Arc, Mutex};

struct Zero;
impl Entropy for Zero {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(0);
    }
}

/// Lines of `command > response`, in hexadecimal, spaces free.
fn dialogue(card: &mut Card, lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (command, expected) = line.split_once('>').expect("command > response");
        let bytes = |text: &str| {
            let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
            let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
            digits.chunks(2).map(byte).collect::<Vec<u8>>()
        };
        let answer = card.transmit(&bytes(command));
        assert_eq!(format!("{answer:02X?}"), format!("{:02X?}", bytes(expected)), "{line}");
    }
}

/// A memory that can be looked at while a card uses it, and that loses power after so many writes.
struct Shared {
    memory: Arc<Mutex<MemoryNvm>>,
    copy: MemoryNvm,
    left: usize,
}

impl Nvm for Shared {
    fn get(&self, key: Key) -> Option<&[u8]> {
        self.copy.get(key)
    }
    fn keys(&self, range: core::ops::RangeInclusive<Key>) -> Vec<Key> {
        self.copy.keys(range)
    }
    fn apply(&mut self, updates: Vec<Update>) -> Result<(), NvmError> {
        self.left = self.left.checked_sub(1).ok_or(NvmError)?;
        self.memory.lock().unwrap().apply(updates.clone())?;
        self.copy.apply(updates)
    }
    fn used(&self) -> usize {
        self.copy.used()
    }
}

const LISTENER: ApplicationKind = ApplicationKind(1);
const TALKER: ApplicationKind = ApplicationKind(2);
const KEEPER: ApplicationKind = ApplicationKind(3);
const TARGET: ApplicationKind = ApplicationKind(4);
const ADMINISTRATOR: ApplicationKind = ApplicationKind(5);
const SHARER: ApplicationKind = ApplicationKind(6);
const CHAINED: ApplicationKind = ApplicationKind(7);
const CARRIED_OVER: ApplicationKind = ApplicationKind(8);

fn factory(kind: ApplicationKind) -> Option<Box<dyn Application>> {
    Some(match kind {
        LISTENER => Box::new(Listener { timers: vec![] }),
        TALKER => Box::new(Talker),
        KEEPER => Box::new(Keeper),
        TARGET => Box::new(Target),
        ADMINISTRATOR => Box::new(Administrator),
        SHARER => Box::new(Sharer),
        CHAINED => Box::new(Chained(vec![])),
        CARRIED_OVER => Box::new(CarriedOver),
        _ => return None,
    })
}

fn aid(number: u8) -> Aid {
    Aid::new(&[0xA0, 0, 0, 1, 0x51, number]).unwrap()
}

fn application(number: u8, kind: ApplicationKind) -> NewApplication {
    let privileges = if kind == ADMINISTRATOR { Privileges::MANAGE_APPLICATIONS } else { Privileges::NONE };
    NewApplication {
        record: ApplicationRecord { aid: aid(number), kind, adf: None, life_cycle: 7, privileges },
        parameters: vec![number],
        data: vec![(1, vec![number])],
    }
}

fn memory(applications: &[(u8, ApplicationKind)]) -> MemoryNvm {
    let mut image = DomainImage::new();
    for (number, kind) in applications {
        image.add_application(application(*number, *kind));
    }
    let mut memory = MemoryNvm::default();
    Card::format(&mut memory, DomainImage::new(), vec![image], Some(DomainId(1))).unwrap();
    memory
}

fn card_on(nvm: Box<dyn Nvm>) -> Card {
    let mut card = Card::new(CardProfile::default(), nvm, Box::new(Zero), factory).with_runtimes(|domain| {
        (domain != DomainId::PLATFORM).then(|| Box::new(Counter { value: 0, stale: false }) as Box<dyn Runtime>)
    });
    card.reset();
    card
}

fn card(applications: &[(u8, ApplicationKind)]) -> Card {
    card_on(Box::new(memory(applications)))
}

/// The domain that the applications of a test are in.
fn loaded(memory: &Mutex<MemoryNvm>) -> DomainView {
    DomainView::all(&memory.lock().unwrap()).into_iter().find(|domain| domain.id == DomainId(1)).unwrap()
}

fn length(octets: &[u8]) -> u8 {
    u8::try_from(octets.len()).unwrap()
}

fn select(number: u8) -> Vec<u8> {
    [&hex!("00A4040C06")[..], &aid(number)].concat()
}

// --- events ---------------------------------------------------------------------------------------------------------

/// Writes down what it is told: item 2 is the last event's kind and what it says.
struct Listener {
    timers: Vec<u8>,
}

impl Application for Listener {
    fn start(&mut self, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
        let own = cx.parameters()[0];
        let registration = Registration {
            envelopes: vec![EventKind::CALL_CONTROL, EventKind::SMS_PP_DOWNLOAD],
            events: vec![0x03],
            menu: vec![MenuItem { identifier: own, text: b"item".to_vec() }],
            timers: 2,
            tars: vec![[0xB0, 0, own]],
            ..Registration::default()
        };
        self.timers = cx.register(registration)?.timers;
        Ok(())
    }

    fn claims(&self, command: &Command<'_>) -> bool {
        let clear = command.class.secure_messaging() == SecureMessaging::None;
        command.class.is_proprietary() && command.ins == Ins::GET_DATA && clear
    }

    fn process(&mut self, _: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        Ok(Response::ok([cx.get(2).unwrap_or_default(), &self.timers].concat()))
    }

    fn event(&mut self, event: &Event<'_>, cx: &mut Context<'_, '_>) -> Result<Option<Response>, StatusWord> {
        let what = [event.code(), event.item(), event.timer()].into_iter().flatten().next().unwrap_or_default();
        cx.put(2, [event.kind().0, what]);
        match event.kind() {
            EventKind::SMS_PP_DOWNLOAD => Ok(Some(Response::ok(hex!("ACAC")))),
            // Refused, and with that nothing is written down.
            EventKind::CALL_CONTROL => Err(StatusWord::CONDITIONS_NOT_SATISFIED),
            _ => Ok(None),
        }
    }
}

/// SMS-DELIVER without a user data header.
const PLAIN_MESSAGE: &str = "80C2000019 D117 82028381 8B11 000581214365 7FF6 11223344556677 0148";

#[test]
fn an_envelope_goes_to_who_waits_for_it() {
    let mut card = card(&[(1, LISTENER), (2, LISTENER)]);
    let told = |card: &mut Card, number: u8, expected: &str| {
        card.transmit(&select(number));
        dialogue(
            card,
            &format!("80CA0000{:02X} > {expected} 9000", expected.split_whitespace().collect::<String>().len() / 2),
        );
    };
    told(&mut card, 1, "0102");
    told(&mut card, 2, "0304");
    dialogue(&mut card, "80C2000009 D307 82020181 900102 > 9000");
    told(&mut card, 1, "0102");
    told(&mut card, 2, "D302 0304");
    dialogue(&mut card, "80C2000009 D707 82028281 A40101 > 9000");
    told(&mut card, 1, "D701 0102");
    dialogue(&mut card, "80C2000009 D607 82028281 990103 > 9000");
    told(&mut card, 1, "D603 0102");
    told(&mut card, 2, "D603 0304");
    // Its answer is the card's answer; a message without an address goes to the first that wants messages.
    dialogue(&mut card, &format!("{PLAIN_MESSAGE} > 6102\n 80C0000002 > ACAC 9000"));
    told(&mut card, 1, "D100 0102");
    told(&mut card, 2, "D603 0304");
    // What all refuse is refused, and leaves no trace.
    dialogue(&mut card, "80C2000006 D404 82028281 > 6985");
    told(&mut card, 1, "D100 0102");
}

/// TS 102 221 §11.2.2: no kind of envelope is acknowledged that nobody took. A sender that hears 9000 does not repeat.
#[test]
fn what_nobody_waits_for_is_refused() {
    for applications in [&[][..], &[(1, LISTENER), (2, LISTENER)]] {
        let mut card = card(applications);
        for kind in 0xD1..=0xE4_u8 {
            // Objects that make every kind complete, and that nobody registered for.
            let objects = hex!("82028281 900177 990109 A40108 8B0100");
            let envelope = [&[0x80, 0xC2, 0, 0, 2 + length(&objects), kind, length(&objects)][..], &objects].concat();
            let expected = match kind {
                0xD1 if !applications.is_empty() => StatusWord(0x6102),
                0xD4 if !applications.is_empty() => StatusWord::CONDITIONS_NOT_SATISFIED,
                _ => StatusWord::WRONG_DATA,
            };
            assert_eq!(card.transmit(&envelope), expected.0.to_be_bytes(), "{kind:02X}");
        }
        // A secured packet for a reference that nobody has.
        assert_eq!(card.transmit(&packet([0xB0, 0, 0x77], 0x12, 1, 0)), hex!("6A80"));
    }
    dialogue(
        &mut card(&[]),
        "80C2000000 > 6A80
         80C2010006 D404 82028281 > 6A86
         80C2000002 D404 > 6A80
         80C2000006 D004 82028281 > 6A80
         81C2000006 D404 82028281 > 6881",
    );
}

// --- proactive commands ---------------------------------------------------------------------------------------------

/// Sends a short message when told to, then asks for the time, then writes down what it got.
struct Talker;

impl Application for Talker {
    fn claims(&self, command: &Command<'_>) -> bool {
        command.class.is_proprietary() && matches!(command.ins, Ins::STORE_DATA | Ins::GET_DATA)
    }

    fn process(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        if command.ins == Ins::GET_DATA {
            return cx.get(2).map(Response::ok).ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND);
        }
        let send = ProactiveCommand::new(ProactiveCommand::SEND_SHORT_MESSAGE, 0, Device::NETWORK, command.data)?;
        cx.proactive(send)?;
        Ok(Response::done())
    }

    fn terminal_response(
        &mut self,
        command: &ProactiveCommand,
        response: TerminalResponse<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<(), StatusWord> {
        match (command.kind(), response.outcome()) {
            (ProactiveCommand::SEND_SHORT_MESSAGE, Outcome::Performed) => {
                let time =
                    ProactiveCommand::new(ProactiveCommand::PROVIDE_LOCAL_INFORMATION, 0x03, Device::TERMINAL, [])?;
                cx.proactive(time)?;
            }
            (_, Outcome::Performed) => cx.put(2, response.object(0x26).unwrap_or_default()),
            (_, Outcome::NotNow) => cx.proactive(command.clone())?,
            (kind, _) => cx.put(2, [kind, response.result]),
        }
        Ok(())
    }
}

/// TS 102 223 §6.4.10, §6.4.15: one command leads to the next; the answer goes to who asked, selected or not.
#[test]
fn an_application_goes_on_when_the_terminal_has_answered() {
    let mut card = card(&[(1, TALKER), (2, TALKER)]);
    card.transmit(&select(1));
    // Octet 4 bit 2 SEND SHORT MESSAGE, octet 8 bit 3 date and time; a terminal without them is not asked.
    dialogue(
        &mut card,
        "80E2000003 8B0101 > 6985
         8010000008 FFFFFFFD FFFFFFFF > 9000
         80E2000003 8B0101 > 6985
         8010000008 00000002 00000004 > 9000
         80E2000002 8B01 > 6F00
         80E2000003 8B0101 > 910E",
    );
    card.transmit(&select(2));
    dialogue(
        &mut card,
        "80E2000003 8B0102 > 910E
         801200000E > D00C 8103011300 82028183 8B0101 9000
         # not now, so it is asked again, behind the other's
         801400000D 8103011300 82028281 83022000 > 910E
         801200000E > D00C 8103021300 82028183 8B0102 9000
         801400000C 8103021300 82028281 830130 > 910E
         801200000E > D00C 8103031300 82028183 8B0101 9000
         801400000C 8103031300 82028281 830101 > 910B
         801200000B > D009 8103042603 82028182 9000
         8014000015 8103042603 82028281 830100 A607 52102010203000 > 9000
         80CA000002 > 1330 9000",
    );
    card.transmit(&select(1));
    dialogue(&mut card, "80CA000007 > 52102010203000 9000");
}

/// What was asked for before does not survive a reset, and does survive a TERMINAL PROFILE that still knows it. One that
/// does not tells who asked.
#[test]
fn a_terminal_that_starts_over_and_knows_less() {
    let mut card = card(&[(1, TALKER)]);
    card.transmit(&select(1));
    dialogue(
        &mut card,
        "8010000004 00000002 > 9000
         80E2000003 8B0101 > 910E
         801200000E > D00C 8103011300 82028183 8B0101 9000
         8010000004 00000002 > 910E
         8010000004 00000000 > 9000
         80CA000002 > 1330 9000
         801200000E > 6F00
         8010000004 00000002 > 9000
         80E2000003 8B0101 > 910E",
    );
    card.reset();
    dialogue(&mut card, "8010000004 00000002 > 9000");
}

/// A terminal that never fetches cannot make the card remember without end.
#[test]
fn the_queue_has_an_end() {
    let mut card = card(&[(1, TALKER)]);
    card.transmit(&select(1));
    dialogue(&mut card, "8010000004 00000002 > 9000");
    for _ in 0..16 {
        dialogue(&mut card, "80E2000003 8B0101 > 910E");
    }
    dialogue(&mut card, "80E2000003 8B0101 > 9300");
}

// --- remote commands ------------------------------------------------------------------------------------------------

/// A security domain: its packets carry a counter, its answers what became of them. Item 2 is the counter.
struct Keeper;

impl Application for Keeper {
    fn claims(&self, _: &Command<'_>) -> bool {
        false
    }
    fn process(&mut self, _: &Command<'_>, _: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        Err(StatusWord::INS_NOT_SUPPORTED)
    }
    fn open_packet(&mut self, event: &Event<'_>, cx: &mut Context<'_, '_>) -> Result<Opened, StatusWord> {
        let (_, packet) = event.secured_packet().ok_or(StatusWord::WRONG_DATA)?;
        let [counter, commands @ ..] = &packet[10..] else { return Err(StatusWord::WRONG_DATA) };
        if Some(counter) <= cx.get(2).and_then(<[u8]>::first) {
            return Ok(Opened::Answer(Response::ok(hex!("02"))));
        }
        cx.put(2, [*counter]);
        Ok(Opened::Commands(Unsecured {
            commands: commands.to_vec(),
            security_level: packet[3],
            reply_to: vec![*counter],
        }))
    }
    fn close_answer(
        &mut self,
        packet: &Unsecured,
        outcome: Result<&[u8], Undone>,
        _: &mut Context<'_, '_>,
    ) -> Result<Response, StatusWord> {
        let answer = match outcome {
            Ok(data) => [&[0x00], data].concat(),
            Err(Undone::InsufficientSecurityLevel) => vec![0x0A],
            Err(Undone::Refused(sw)) => [&[0xEE][..], &sw.0.to_be_bytes()].concat(),
        };
        Ok(Response::ok([packet.reply_to.clone(), answer].concat()))
    }
}

/// Keeps what it was sent as item 2; refuses what begins with FF after having written it.
struct Target;

impl Application for Target {
    fn start(&mut self, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
        let registration = Registration {
            tars: vec![[0xB0, 0x00, 0x02]],
            minimum_security_level: 0x12,
            security_domain: Some(aid(1)),
            ..Registration::default()
        };
        cx.register(registration)?;
        Ok(())
    }
    fn claims(&self, command: &Command<'_>) -> bool {
        command.class.is_proprietary() && command.ins == Ins::GET_DATA
    }
    fn process(&mut self, _: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        cx.get(2).map(Response::ok).ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)
    }
    fn process_remote(&mut self, remote: &Remote<'_>, cx: &mut Context<'_, '_>) -> Result<Vec<u8>, StatusWord> {
        cx.put(2, remote.commands);
        if remote.commands.starts_with(&[0xFF]) { Err(StatusWord::WRONG_DATA) } else { Ok(remote.tar.to_vec()) }
    }
}

/// The reference of [`Target`].
const TAR: [u8; 3] = hex!("B00002");

/// An SMS-PP download with a packet for this reference: first octet of SPI, counter, one command octet.
fn packet(tar: [u8; 3], level: u8, counter: u8, command: u8) -> Vec<u8> {
    let packet = [&hex!("000C 0D")[..], &[level], &hex!("21 2525"), &tar, &[counter, command]].concat();
    let user_data = [&hex!("027000")[..], &packet].concat();
    let tpdu = [&hex!("4005812143657FF611223344556677")[..], &[length(&user_data)], &user_data].concat();
    let objects = [&hex!("820283818B")[..], &[length(&tpdu)], &tpdu].concat();
    let count = length(&objects);
    [&[0x80, 0xC2, 0, 0, count + 2, 0xD1, count][..], &objects].concat()
}

/// TS 102 225, TS 102 226: a security domain opens, the application does, the security domain answers. The counter stays
/// spent whatever becomes of the commands, and these whatever becomes of the answer.
#[test]
fn a_secured_packet_is_opened_by_its_security_domain() {
    let applications = [(1, KEEPER), (2, TARGET)];
    let mut card = card(&applications);
    let mut answer = |packet: &[u8]| match card.transmit(packet)[..] {
        [0x61, length] => card.transmit(&[0x80, 0xC0, 0, 0, length]),
        ref refusal => refusal.to_vec(),
    };
    assert_eq!(answer(&packet(TAR, 0x12, 1, 0xAA)), hex!("01 00 B00002 9000"));
    assert_eq!(answer(&packet(TAR, 0x12, 1, 0xBB)), hex!("02 9000"), "replayed");
    assert_eq!(answer(&packet(TAR, 0x02, 2, 0xBB)), hex!("02 0A 9000"), "no counter");
    assert_eq!(answer(&packet(TAR, 0x12, 3, 0xFF)), hex!("03 EE 6A80 9000"));
    assert_eq!(answer(&packet(TAR, 0x12, 3, 0xCC)), hex!("02 9000"), "spent, though nothing was done");
    card.transmit(&select(2));
    dialogue(&mut card, "80CA000001 > AA 9000");
    // Without its security domain there is nobody who could open it.
    let mut orphan = self::card(&[(2, TARGET)]);
    assert_eq!(orphan.transmit(&packet(TAR, 0x12, 1, 0xAA)), hex!("6A88"));
    // Cut after the counter, the packet is spent and nothing done; the sender's repeat says so.
    for (allowed, done) in [(0, false), (1, false), (2, true)] {
        let shared = Arc::new(Mutex::new(memory(&applications)));
        let copy = shared.lock().unwrap().clone();
        let mut card = card_on(Box::new(Shared { memory: shared.clone(), copy, left: allowed }));
        let first = card.transmit(&packet(TAR, 0x12, 1, 0xAA));
        let mut after = card_on(Box::new(shared.lock().unwrap().clone()));
        after.transmit(&select(2));
        assert_eq!(after.transmit(&hex!("80CA000001")) == hex!("AA9000"), done, "{allowed}");
        // Not opened; opened, not carried out, and told so; all of it.
        let expected = [hex!("6581"), hex!("6104"), hex!("6105")];
        assert_eq!(first, expected[allowed]);
        assert_eq!(after.transmit(&packet(TAR, 0x12, 1, 0xAA)) == hex!("6101"), allowed > 0, "{allowed}");
    }
}

// --- the registry ---------------------------------------------------------------------------------------------------

/// Adds (`01 kind number`), removes (`02 number`), locks (`03 number state`); loads (`04 number`), unloads (`05 number`);
/// `FF` does and then refuses. GET DATA lists the applications.
struct Administrator;

impl Application for Administrator {
    fn claims(&self, command: &Command<'_>) -> bool {
        command.class.is_proprietary() && matches!(command.ins, Ins::STORE_DATA | Ins::GET_DATA)
    }
    fn process(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        let mut registry = cx.registry().ok_or(StatusWord::SECURITY_STATUS_NOT_SATISFIED)?;
        let (refuses, data) = match command.data {
            [0xFF, data @ ..] => (true, data),
            data => (false, data),
        };
        match data {
            [] => {
                let applications = registry.applications();
                let list = applications.iter().flat_map(|record| [record.aid[5], record.life_cycle]);
                return Ok(Response::ok(list.collect::<Vec<u8>>()));
            }
            [1, kind, number] => registry.add(&application(*number, ApplicationKind((*kind).into())), None)?,
            [1, kind, number, load_file] => {
                let origin = Origin { load_file: aid(*load_file), module: aid(0x70), security_domain: Some(aid(1)) };
                registry.add(&application(*number, ApplicationKind((*kind).into())), Some(&origin))?;
                assert_eq!(registry.origin(&aid(*number)), Some(origin));
            }
            [2, number] => registry.remove(&aid(*number))?,
            [3, number, state] => registry.set_life_cycle(&aid(*number), *state)?,
            [4, number] => {
                let load_file = LoadFile {
                    aid: aid(*number),
                    version: [1, 0],
                    life_cycle: 1,
                    security_domain: Some(aid(1)),
                    modules: vec![aid(0x70)],
                };
                registry.load(&load_file, vec![*number; 10])?;
                assert!(registry.load_files().contains(&load_file));
            }
            [5, number] => registry.unload(&aid(*number))?,
            _ => return Err(StatusWord::WRONG_DATA),
        }
        if refuses { Err(StatusWord::WRONG_LENGTH) } else { Ok(Response::done()) }
    }
}

/// An administrator that an earlier release installed without privileges, and with another parameter.
struct CarriedOver;

impl Application for CarriedOver {
    fn start(&mut self, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
        assert!(cx.registry().is_none() || cx.parameters() == [0xCA]);
        cx.carry_over(Privileges::MANAGE_APPLICATIONS, &[0xCA]);
        Ok(())
    }
    fn claims(&self, command: &Command<'_>) -> bool {
        Administrator.claims(command)
    }
    fn process(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        Administrator.process(command, cx)
    }
}

/// What an earlier release did not give is given when the application starts, is good at once, and stays.
#[test]
fn an_entry_of_an_earlier_release_is_carried_over() {
    let shared = Arc::new(Mutex::new(memory(&[(1, CARRIED_OVER), (2, LISTENER)])));
    let entry = || loaded(&shared.lock().unwrap().clone().into()).applications.swap_remove(0);
    assert_eq!(entry().record.privileges, Privileges::NONE);
    for _ in 0..2 {
        let copy = shared.lock().unwrap().clone();
        let mut card = card_on(Box::new(Shared { memory: shared.clone(), copy, left: 1000 }));
        assert_eq!(card.transmit(&select(1)), hex!("9000"));
        assert_eq!(card.transmit(&hex!("80CA000004")), hex!("0107 0207 9000"));
        let after = entry();
        assert_eq!((after.record.privileges, &after.parameters[..]), (Privileges::MANAGE_APPLICATIONS, &[0xCA][..]));
        assert_eq!(
            after.record,
            ApplicationRecord { privileges: after.record.privileges, ..application(1, CARRIED_OVER).record }
        );
        assert_eq!(after.data[&1], [1]);
    }
}

/// GlobalPlatform §5.3, §9.3, §9.5: applications come and go one by one; the others keep their sessions.
#[test]
fn applications_come_and_go_one_by_one() {
    let shared = Arc::new(Mutex::new(memory(&[(1, ADMINISTRATOR), (2, LISTENER)])));
    let copy = shared.lock().unwrap().clone();
    let mut card = card_on(Box::new(Shared { memory: shared.clone(), copy, left: 1000 }));
    let select_on = |channel: u8, number: u8| [&[channel, 0xA4, 4, 0x0C, 6][..], &aid(number)].concat();
    dialogue(&mut card, "0070000001 > 01 9000\n 0070000001 > 02 9000");
    assert_eq!(card.transmit(&select_on(0, 1)), hex!("9000"));
    assert_eq!(card.transmit(&select_on(1, 2)), hex!("9000"));
    assert_eq!(card.transmit(&select_on(2, 9)), hex!("6A82"));
    dialogue(
        &mut card,
        "80CA000004 > 0107 0207 9000
         # one that is refused is not there
         80E2000004 FF 01 01 09 > 6700
         80CA000004 > 0107 0207 9000
         80E2000003 01 01 09 > 9000
         80CA000006 > 0107 0207 0907 9000
         80E2000003 01 01 09 > 6A80
         # it has been started: timers 3 and 4
         80C2000009 D707 82028281 A40103 > 9000",
    );
    assert_eq!(card.transmit(&select_on(2, 9)), hex!("9000"));
    dialogue(
        &mut card,
        "82CA000004 > D703 0304 9000
         # the other's session has gone on
         81CA000002 > 0102 9000
         # in use, and the one that asks
         80E2000002 02 09 > 6985
         80E2000002 02 01 > 6985
         80E2000002 02 44 > 6A88
         80E2000003 03 09 87 > 9000
         80CA000006 > 0107 0207 0987 9000
         82CA000004 > D703 0304 9000
         00708002 > 9000
         0070000001 > 02 9000",
    );
    assert_eq!(card.transmit(&select_on(2, 9)), hex!("6A82"), "locked");
    dialogue(&mut card, "80E2000003 03 09 07 > 9000");
    assert_eq!(card.transmit(&select_on(2, 9)), hex!("9000"));
    dialogue(
        &mut card,
        "00708002 > 9000
         80E2000002 02 09 > 9000
         80CA000004 > 0107 0207 9000
         80C2000009 D707 82028281 A40103 > 6A80",
    );
    // The number is not given out again, and nothing of what it kept is left.
    dialogue(&mut card, "80E2000003 01 07 0A > 9000");
    let view = loaded(&shared);
    let data: Vec<_> = view.applications.iter().map(|application| application.data.clone()).collect();
    assert_eq!(data.last().unwrap().iter().collect::<Vec<_>>(), [(&1, &vec![0x0A])]);
    card.reset();
    card.transmit(&select(1));
    dialogue(&mut card, "80CA000006 > 0107 0207 0A07 9000");
    // Without the privilege there is no registry; more privileges than one has cannot be given.
    let mut card = self::card(&[(1, LISTENER)]);
    card.transmit(&select(1));
    dialogue(&mut card, "80E2000003 01 01 09 > 6D00");
}

/// GlobalPlatform §6.4: what was loaded, and what was made from it.
#[test]
fn a_domain_keeps_what_was_loaded_into_it() {
    let shared = Arc::new(Mutex::new(memory(&[(1, ADMINISTRATOR)])));
    let copy = shared.lock().unwrap().clone();
    let mut card = card_on(Box::new(Shared { memory: shared.clone(), copy, left: 1000 }));
    card.transmit(&select(1));
    dialogue(
        &mut card,
        "80E2000002 04 20 > 9000
         80E2000002 04 20 > 6A80
         80E2000002 04 01 > 6A80
         80E2000002 04 21 > 9000
         80E2000004 01 06 09 55 > 6A88
         80E2000004 01 06 09 20 > 9000
         80E2000002 05 20 > 6985
         80E2000002 05 21 > 9000
         80E2000002 05 21 > 6A88",
    );
    card.reset();
    let view = loaded(&shared);
    assert_eq!(view.load_files.iter().map(|load_file| load_file.aid).collect::<Vec<_>>(), [aid(0x20)]);
    assert_eq!(view.port, Some(Port::FIRST));
    // The application reaches its code.
    card.transmit(&select(9));
    dialogue(&mut card, "80CB000001 20 > 610A\n 80C000000A > 20202020202020202020 9000");
    card.transmit(&select(1));
    dialogue(&mut card, "80E2000002 02 09 > 9000\n 80E2000002 05 20 > 9000");
    let view = loaded(&shared);
    assert!(view.load_files.is_empty());
}

/// Cut at any write, an application is there with all of it, or nothing of it is.
#[test]
fn a_cut_leaves_no_half_application() {
    let with_one_more = {
        let shared = Arc::new(Mutex::new(memory(&[(1, ADMINISTRATOR)])));
        let copy = shared.lock().unwrap().clone();
        let mut card = card_on(Box::new(Shared { memory: shared.clone(), copy, left: 1000 }));
        card.transmit(&select(1));
        dialogue(&mut card, "80E2000002 04 20 > 9000\n 80E2000004 01 01 09 20 > 9000");
        drop(card);
        Arc::into_inner(shared).unwrap().into_inner().unwrap()
    };
    let commands =
        [hex!("80E2000002 02 09").to_vec(), hex!("80E2000002 05 20").to_vec(), hex!("80E2000003 01 01 0A").to_vec()];
    for allowed in 0..=commands.len() {
        let shared = Arc::new(Mutex::new(with_one_more.clone()));
        let mut card = card_on(Box::new(Shared { memory: shared.clone(), copy: with_one_more.clone(), left: allowed }));
        card.transmit(&select(1));
        let answers: Vec<bool> = commands.iter().map(|command| card.transmit(command) == hex!("9000")).collect();
        let mut after = card_on(Box::new(shared.lock().unwrap().clone()));
        let has = |card: &mut Card, number| card.transmit(&select(number)) == hex!("9000");
        assert_eq!(has(&mut after, 9), !answers[0], "{allowed}");
        assert_eq!(has(&mut after, 0x0A), answers[2], "{allowed}");
        let view = loaded(&shared);
        assert_eq!(view.load_files.len(), usize::from(!answers[1]), "{allowed}");
        for application in &view.applications {
            assert_eq!(application.data[&1], application.parameters, "{allowed}");
        }
        // In the card that was cut, what it said is what is so.
        assert_eq!(has(&mut card, 9), !answers[0], "{allowed}");
        assert_eq!(has(&mut card, 0x0A), answers[2], "{allowed}");
    }
}

// --- a shared state -------------------------------------------------------------------------------------------------

/// What the sharers of a domain have in common: a number, which also is in the heap.
struct Counter {
    value: u8,
    stale: bool,
}

impl Runtime for Counter {
    fn rolled_back(&mut self) {
        self.stale = true;
    }
}

/// STORE DATA counts up, and refuses with data `FF` after that; GET DATA answers; `80 CB` answers a load file's code.
struct Sharer;

impl Application for Sharer {
    fn claims(&self, command: &Command<'_>) -> bool {
        command.class.is_proprietary() && matches!(command.ins, Ins::STORE_DATA | Ins::GET_DATA | Ins::RETRIEVE_DATA)
    }
    fn process(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        if let (Ins::RETRIEVE_DATA, [number]) = (command.ins, command.data) {
            return cx.code(&aid(*number)).map(Response::ok).ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND);
        }
        let value = cx.with_runtime(|counter: &mut Counter, cx| {
            if counter.stale || counter.value == 0 {
                counter.value = cx.heap(7).and_then(<[u8]>::first).copied().unwrap_or_default();
                counter.stale = false;
            }
            if command.ins == Ins::STORE_DATA {
                counter.value += 1;
                cx.put_heap(7, [counter.value]);
            }
            counter.value
        });
        let value = value.ok_or(StatusWord::TECHNICAL_PROBLEM)?;
        if command.data == [0xFF] { Err(StatusWord::WRONG_DATA) } else { Ok(Response::ok([value])) }
    }
}

#[test]
fn applications_of_a_domain_share_a_state() {
    let mut card = card(&[(1, SHARER), (2, SHARER)]);
    card.transmit(&select(1));
    dialogue(&mut card, "80E2000001 01 > 6101\n 80CA000001 > 01 9000");
    card.transmit(&select(2));
    dialogue(
        &mut card,
        "80CA000001 > 01 9000
         80E2000001 01 > 6101
         # what is refused has not happened, in the shared state either
         80E2000001 FF > 6A80
         80CA000001 > 02 9000",
    );
    // It lasts because the heap does.
    card.reset();
    card.transmit(&select(1));
    dialogue(&mut card, "80CA000001 > 02 9000");
}

// --- chains and protection ------------------------------------------------------------------------------------------

/// Joins chained `0x E2`, and takes protected `84 E2`.
struct Chained(Vec<u8>);

impl Application for Chained {
    fn claims(&self, command: &Command<'_>) -> bool {
        command.ins == Ins::STORE_DATA
            && matches!(command.class.secure_messaging(), SecureMessaging::None | SecureMessaging::Proprietary)
    }
    fn claims_chaining(&self, command: &Command<'_>) -> bool {
        command.ins == Ins::STORE_DATA
    }
    fn process(&mut self, command: &Command<'_>, _: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        self.0.extend_from_slice(command.data);
        if command.class.is_chained() {
            return Ok(Response::done());
        }
        let joined = core::mem::take(&mut self.0);
        Ok(Response::ok([&[command.class.to_byte()], &joined[..]].concat()))
    }
    fn interrupted(&mut self, _: u8) {
        self.0.clear();
    }
}

/// ISO/IEC 7816-4 §5.3.3, §6; TS 102 221 §10.1.1: the application is asked before the card refuses.
#[test]
fn chains_and_protection_are_the_applications() {
    let mut card = card(&[(1, CHAINED), (2, LISTENER)]);
    dialogue(&mut card, "10E2000001 01 > 6884\n 84E2000001 01 > 6882");
    card.transmit(&select(1));
    dialogue(
        &mut card,
        "10E2000001 01 > 9000
         10E2000001 02 > 9000
         00E2000001 03 > 6104
         00C0000004 > 00010203 9000
         84E2000001 04 > 6102
         80C0000002 > 8404 9000
         # what is not its own is refused as before; a broken chain is forgotten
         8CE2000001 04 > 6882
         10B0000001 04 > 6884
         10E2000001 01 > 9000
         80F2000C > 9000
         00E2000001 03 > 6102
         00C0000002 > 0003 9000",
    );
    card.transmit(&select(2));
    dialogue(&mut card, "10E2000001 01 > 6884\n 84CA000000 > 6882");
}
