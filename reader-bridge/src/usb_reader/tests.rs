//! Both protocols, with the other end written out octet by octet.

use hex_literal::hex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::host::Limits;
use super::*;
use crate::testing::FakeCard;

/// For hosts that keep to the protocol, however busy the machine is.
const LONG: Limits = Limits {
    greeting: Duration::from_mins(2),
    message: Duration::from_mins(2),
    taking: Duration::from_mins(2),
    reply: Duration::from_mins(2),
    quiet: Duration::from_millis(20),
    longest_quiet: Duration::from_mins(2),
    extension: Duration::from_millis(20),
    absence: Duration::from_millis(20),
    pause: Duration::from_millis(20),
};

/// For those that do not: only what they are late with has a short time, so that nothing else can be late.
const QUICK: Duration = Duration::from_millis(200);
const LATE_GREETING: Limits = Limits { greeting: QUICK, ..LONG };
const LATE_REST: Limits = Limits { message: QUICK, ..LONG };
const LATE_TAKING: Limits = Limits { taking: QUICK, ..LONG };
const LATE_REPLY: Limits = Limits { reply: QUICK, ..LONG };

/// A card that answers STORE DATA with EnableProfile's `ok`, and otherwise as a [`FakeCard`] does; READ BINARY of file 1 takes a
/// moment, and of file 2 an hour.
#[derive(Default)]
struct Card(FakeCard, Duration);

impl Icc for Card {
    fn power_on(&mut self) -> Vec<u8> {
        self.0.power_on()
    }

    fn warm_reset(&mut self) -> Vec<u8> {
        self.0.warm_reset()
    }

    fn power_off(&mut self) {
        self.0.power_off();
    }

    fn atr(&self) -> Vec<u8> {
        self.0.atr()
    }

    fn transmit(&mut self, command: &[u8], response: &mut Vec<u8>) {
        let begun = response.len();
        self.0.transmit(command, response);
        if command.get(1) == Some(&0xE2) {
            response.truncate(begun);
            response.extend(hex!("BF31038001009000"));
        }
        self.1 = match command {
            [0, 0xB0, 0x81, ..] => Duration::from_millis(50),
            [0, 0xB0, 0x82, ..] => Duration::from_hours(1),
            _ => Duration::ZERO,
        };
    }

    fn delay(&mut self) -> Duration {
        std::mem::take(&mut self.1)
    }
}

async fn listening() -> (Listener, String) {
    let listener = Listener::bind(&"0".parse().unwrap()).await.unwrap();
    let Address::Tcp(address) = listener.address().clone() else { panic!() };
    (listener, address)
}

/// What is told while `host` has the card, and what the card saw.
async fn told_while<F: Future<Output = ()>>(via: Via, keeps_card: bool, host: impl FnOnce(Hand) -> F) -> Told {
    told_within(LONG, via, keeps_card, host).await
}

async fn told_within<F: Future<Output = ()>>(
    limits: Limits,
    via: Via,
    keeps_card: bool,
    host: impl FnOnce(Hand) -> F,
) -> Told {
    let (hand, moves) = Hand::new();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (mut card, mut told) = (Card::default(), Vec::new());
    let reader = UsbReader { via, moves, keeps_card };
    let served =
        reader.serve_within(limits, &mut card, async { stopped.await.unwrap() }, |link| told.push(link.to_string()));
    let host = async {
        host(hand).await;
        stop.send(()).unwrap();
    };
    tokio::join!(served, host);
    Told { links: told, card: card.0.log }
}

struct Told {
    links: Vec<String>,
    card: Vec<String>,
}

impl Told {
    fn has(&self, text: &str) -> bool {
        self.links.iter().any(|link| link.contains(text))
    }
}

async fn expect(stream: &mut TcpStream, octets: &[u8]) {
    let mut read = vec![0; octets.len()];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(read, octets, "{read:02X?}");
}

/// Whether a host that says this gets so many octets: if it has little time for that and the machine is busy, it tries again.
async fn is_served(address: &str, greeting: &[u8], length: usize) {
    loop {
        let mut host = TcpStream::connect(address).await.unwrap();
        let _ = host.write_all(greeting).await;
        if host.read_exact(&mut vec![0; length]).await.is_ok() {
            return;
        }
    }
}

const INIT: [u8; 24] = hex!("00000001 FFFFFFFF 0000000C 56534344 00000002 00000000");
const DONE: [u8; 16] = hex!("00000002 00000000 00000004 00000000");
const ATR: [u8; 16] = hex!("00000005 00000000 00000004 3B021450");
const REMOVED: [u8; 12] = hex!("00000006 00000000 00000000");

/// QEMU takes the card in.
async fn take_in(stream: &mut TcpStream) {
    stream.write_all(&INIT).await.unwrap();
    expect(stream, &hex!("00000001 00000000 0000000C 56534344 00000002 00000000")).await;
    expect(stream, &hex!("00000003 FFFFFFFF 00000005 7675696363")).await;
    stream.write_all(&DONE).await.unwrap();
    expect(stream, &ATR).await;
    stream.write_all(&DONE).await.unwrap();
}

#[tokio::test]
async fn a_card_in_qemu_is_pulled_inserted_and_reset() {
    let (listener, address) = listening().await;
    let told = told_while(Via::ForQemu(listener), false, async |hand: Hand| {
        let mut qemu = TcpStream::connect(&address).await.unwrap();
        take_in(&mut qemu).await;
        qemu.write_all(&hex!("00000007 00000000 00000005 00B0000002")).await.unwrap();
        expect(&mut qemu, &hex!("00000007 00000000 00000004 0001 9000")).await;
        assert_eq!(hand.ask(Move::Insert).await, Err(NotMoved::AlreadyIn));
        hand.ask(Move::Pull).await.unwrap();
        expect(&mut qemu, &REMOVED).await;
        qemu.write_all(&DONE).await.unwrap();
        assert_eq!(hand.ask(Move::Pull).await, Err(NotMoved::AlreadyOut));
        assert_eq!(hand.ask(Move::Reset).await, Err(NotMoved::AlreadyOut));
        hand.ask(Move::Insert).await.unwrap();
        expect(&mut qemu, &ATR).await;
        qemu.write_all(&DONE).await.unwrap();
        hand.ask(Move::Reset).await.unwrap();
        expect(&mut qemu, &[&REMOVED[..], &ATR].concat()).await;
        qemu.write_all(&[DONE, DONE].concat()).await.unwrap();
        // A silent card, which the guest would wait for.
        qemu.write_all(&hex!("00000007 00000000 00000004 00FE0000")).await.unwrap();
        expect(&mut qemu, &[&REMOVED[..], &ATR].concat()).await;
        qemu.write_all(&[DONE, DONE].concat()).await.unwrap();
        // What happened while no QEMU was there holds for the next one.
        drop(qemu);
        let mut next = TcpStream::connect(&address).await.unwrap();
        take_in(&mut next).await;
    })
    .await;
    assert!(
        told.has("card pulled") && told.has("as asked") && told.has("did not answer a command"),
        "{:?}",
        told.links
    );
    let commands: Vec<_> = told.card.iter().filter(|entry| !entry.starts_with("power")).collect();
    assert_eq!(commands, ["00B0000002", "00FE0000"]);
    assert_eq!(told.card.iter().filter(|entry| *entry == "power on").count(), 5);
}

/// A guest cannot reset the card after a change of the profile: it is done for it, when it has been quiet.
#[tokio::test]
async fn a_change_of_the_profile_resets_the_card() {
    for keeps_card in [false, true] {
        let (listener, address) = listening().await;
        let told = told_while(Via::ForQemu(listener), keeps_card, async |hand: Hand| {
            let mut qemu = TcpStream::connect(&address).await.unwrap();
            take_in(&mut qemu).await;
            // The host goes on, and is not disturbed.
            let (enable, close) =
                (hex!("00000007 00000000 00000007 81E2910002BF31"), hex!("00000007 00000000 00000005 0070800100"));
            qemu.write_all(&[&enable[..], &close].concat()).await.unwrap();
            expect(&mut qemu, &hex!("00000007 00000000 00000008 BF31038001009000")).await;
            expect(&mut qemu, &hex!("00000007 00000000 00000002 9000")).await;
            if keeps_card {
                hand.ask(Move::Reset).await.unwrap();
            }
            expect(&mut qemu, &[&REMOVED[..], &ATR].concat()).await;
        })
        .await;
        assert_eq!(told.has("enabled profile has changed"), !keeps_card, "{:?}", told.links);
    }
}

/// A guest that is never quiet is interrupted all the same, after a while.
#[tokio::test]
async fn a_guest_that_goes_on_is_reset_at_the_latest() {
    let (listener, address) = listening().await;
    let limits = Limits { quiet: Duration::from_hours(1), longest_quiet: QUICK, ..LONG };
    let told = told_within(limits, Via::ForQemu(listener), false, async |_| {
        let mut qemu = TcpStream::connect(&address).await.unwrap();
        take_in(&mut qemu).await;
        qemu.write_all(&hex!("00000007 00000000 00000007 81E2910002BF31")).await.unwrap();
        expect(&mut qemu, &hex!("00000007 00000000 00000008 BF31038001009000")).await;
        expect(&mut qemu, &[&REMOVED[..], &ATR].concat()).await;
    })
    .await;
    assert!(told.has("enabled profile has changed"), "{:?}", told.links);
}

/// What is done by hand while the card looks for its QEMU does not cost the connection that it finds.
#[tokio::test]
async fn a_move_by_hand_drops_no_connection() {
    let qemu = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tcp(qemu.local_addr().unwrap().to_string());
    told_while(Via::ToQemu(address), false, async |hand: Hand| {
        for _ in 0..20 {
            hand.ask(Move::Pull).await.unwrap();
            hand.ask(Move::Insert).await.unwrap();
        }
        let (mut stream, _) = qemu.accept().await.unwrap();
        take_in(&mut stream).await;
        tokio::select! {
            biased;
            second = qemu.accept() => panic!("{second:?}"),
            () = std::future::ready(()) => {}
        }
    })
    .await;
}

#[tokio::test]
async fn qemu_is_connected_to_when_it_is_there() {
    let qemu = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tcp(qemu.local_addr().unwrap().to_string());
    let told = told_while(Via::ToQemu(address), false, async |hand: Hand| {
        let (mut stream, _) = qemu.accept().await.unwrap();
        take_in(&mut stream).await;
        drop(stream);
        // It came back; the card was pulled meanwhile.
        hand.ask(Move::Pull).await.unwrap();
        let (mut stream, _) = qemu.accept().await.unwrap();
        stream.write_all(&INIT).await.unwrap();
        stream.write_all(&DONE).await.unwrap();
        expect(&mut stream, &hex!("00000001 00000000 0000000C 56534344 00000002 00000000")).await;
        expect(&mut stream, &hex!("00000003 FFFFFFFF 00000005 7675696363")).await;
        hand.ask(Move::Insert).await.unwrap();
        expect(&mut stream, &ATR).await;
        drop((stream, qemu));
    })
    .await;
    assert!(told.has("host gone"), "{:?}", told.links);
}

/// Nothing reaches the card, and the next host is served.
#[tokio::test]
async fn what_is_no_qemu_is_sent_away() {
    let half = [&INIT[..], &DONE, &hex!("00000007 00000000 00000005 00B0")].concat();
    let flood = hex!("00000007 00000000 FFFFFFFF");
    for (limits, sent, why) in [
        (LATE_GREETING, &b""[..], "it has not answered the greeting"),
        (LONG, b"GET / HTTP/1.1\r\n\r\n", "is no VSCard message"),
        (LATE_GREETING, &hex!("00000001 00000000"), "it has not answered the greeting"),
        (LATE_GREETING, &INIT, "it has not answered the greeting"),
        (LONG, &hex!("00000007 00000000 00000005 00B0000000"), "a message before its Init"),
        (LATE_REPLY, &[&INIT[..], &DONE].concat(), "does not answer"),
        (LATE_REST, &half, "it stopped within a message"),
        (LONG, &[&INIT[..], &DONE, &DONE, &flood].concat(), "65536 is the most"),
        (LONG, &[&INIT[..], &DONE, &DONE, &REMOVED].concat(), "what only a reader says"),
        (LONG, &[&INIT[..], &hex!("00000002 00000000 00000004 00000002")].concat(), "QEMU has no reader for this card"),
    ] {
        let (listener, address) = listening().await;
        let told = told_within(limits, Via::ForQemu(listener), false, async |_| {
            let mut hostile = TcpStream::connect(&address).await.unwrap();
            let _ = hostile.write_all(sent).await;
            let _ = hostile.read_to_end(&mut Vec::new()).await;
            is_served(&address, &INIT, INIT.len() + 17).await;
        })
        .await;
        assert!(told.has(why), "{sent:02X?}: {:?}", told.links);
        assert!(!told.card.iter().any(|entry| entry.starts_with("00B0")), "{:?}", told.card);
    }
}

#[tokio::test]
async fn a_qemu_that_never_reads_is_left() {
    let (listener, address) = listening().await;
    let told = told_within(LATE_TAKING, Via::ForQemu(listener), false, async |_| {
        let mut greedy = TcpStream::connect(&address).await.unwrap();
        take_in(&mut greedy).await;
        let command = hex!("00000007 00000000 00000005 00B0000000").repeat(1_000);
        while greedy.write_all(&command).await.is_ok() {}
        is_served(&address, &INIT, INIT.len() + 17).await;
    })
    .await;
    assert!(told.has("it does not take its answers"), "{:?}", told.links);
}

fn import() -> Vec<u8> {
    let mut request = hex!("0111 8003 00000000 312D31").to_vec();
    request.resize(40, 0);
    request
}

fn submit(sequence: u32, endpoint: u32, is_in: bool, length: usize, setup: [u8; 8], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).unwrap();
    let words = [1, sequence, 0x0001_0002, u32::from(is_in), endpoint, 0, length, 0, u32::MAX, 0];
    [&words.map(u32::to_be_bytes).concat()[..], &setup, data].concat()
}

/// The data of the next answer, which has to be for this transfer.
async fn answer(stream: &mut TcpStream, sequence: u32, is_in: bool) -> Vec<u8> {
    let mut header = [0; 48];
    stream.read_exact(&mut header).await.unwrap();
    let word = |at: usize| u32::from_be_bytes(*header[at..].first_chunk().unwrap());
    assert_eq!([word(0), word(4), word(20)], [3, sequence, 0]);
    let mut data = vec![0; if is_in { usize::try_from(word(24)).unwrap() } else { 0 }];
    stream.read_exact(&mut data).await.unwrap();
    data
}

/// Plugs the reader in, and gives the card power.
async fn plug_in(address: &str) -> TcpStream {
    let mut host = TcpStream::connect(address).await.unwrap();
    host.write_all(&import()).await.unwrap();
    let mut device = [0; 320];
    host.read_exact(&mut device).await.unwrap();
    assert_eq!(device[..8], hex!("0111 0003 00000000"));
    host.write_all(&submit(1, 0, false, 0, hex!("0009 0100 0000 0000"), &[])).await.unwrap();
    answer(&mut host, 1, false).await;
    let atr = ask(&mut host, &hex!("62 00000000 00 01 00 0000")).await;
    assert_eq!(atr, hex!("80 04000000 00 01 00 00 00 3B021450"));
    host
}

async fn ask(host: &mut TcpStream, message: &[u8]) -> Vec<u8> {
    host.write_all(&submit(8, 2, false, message.len(), [0; 8], message)).await.unwrap();
    host.write_all(&submit(9, 2, true, 271, [0; 8], &[])).await.unwrap();
    answer(host, 8, false).await;
    answer(host, 9, true).await
}

#[tokio::test]
async fn a_card_behind_usbip_is_used_pulled_and_inserted() {
    let (listener, address) = listening().await;
    let told = told_while(Via::ForUsbip(listener, Identity::default()), false, async |hand: Hand| {
        let mut host = plug_in(&address).await;
        let response = ask(&mut host, &hex!("6F 05000000 00 02 00 0000 00B0000002")).await;
        assert_eq!(response, hex!("80 04000000 00 02 00 00 00 0001 9000"));
        // Another one may look, and cannot have it.
        let mut looking = TcpStream::connect(&address).await.unwrap();
        looking.write_all(&hex!("0111 8005 00000000")).await.unwrap();
        let mut list = Vec::new();
        looking.read_to_end(&mut list).await.unwrap();
        assert_eq!(list.len(), 328);
        let mut second = TcpStream::connect(&address).await.unwrap();
        second.write_all(&import()).await.unwrap();
        let mut refusal = Vec::new();
        second.read_to_end(&mut refusal).await.unwrap();
        assert_eq!(refusal, hex!("0111 0003 00000002"));
        // The interrupt endpoint tells of each move; commands to a card that is out fail.
        host.write_all(&submit(3, 3, true, 8, [0; 8], &[])).await.unwrap();
        assert_eq!(answer(&mut host, 3, true).await, hex!("50 03"));
        host.write_all(&submit(4, 3, true, 8, [0; 8], &[])).await.unwrap();
        hand.ask(Move::Pull).await.unwrap();
        assert_eq!(answer(&mut host, 4, true).await, hex!("50 02"));
        let gone = ask(&mut host, &hex!("6F 05000000 00 03 00 0000 00B0000002")).await;
        assert_eq!(gone, hex!("80 00000000 00 03 42 FE 00"));
        host.write_all(&submit(5, 3, true, 8, [0; 8], &[])).await.unwrap();
        hand.ask(Move::Insert).await.unwrap();
        assert_eq!(answer(&mut host, 5, true).await, hex!("50 03"));
        host.write_all(&submit(6, 3, true, 8, [0; 8], &[])).await.unwrap();
        hand.ask(Move::Reset).await.unwrap();
        // Both changes, or the last one alone if the host looks late.
        assert_eq!(answer(&mut host, 6, true).await, hex!("50 02"));
        host.write_all(&submit(7, 3, true, 8, [0; 8], &[])).await.unwrap();
        assert_eq!(answer(&mut host, 7, true).await, hex!("50 03"));
        drop(host);
        plug_in(&address).await;
    })
    .await;
    assert!(told.has("a host has the reader") && told.has("card pulled") && told.has("host gone"), "{:?}", told.links);
    assert_eq!(told.card.iter().filter(|entry| entry.starts_with("00B0")).count(), 1);
    assert_eq!(told.card.last().map(String::as_str), Some("power off"));
}

#[tokio::test]
async fn what_is_no_usbip_client_is_sent_away() {
    let half = submit(2, 2, false, 15, [0; 8], &hex!("6F 05000000 00 02 00 0000 00B0"));
    let lying = submit(2, 2, false, 0xFFFF_FFFE, [0; 8], &[]);
    for (limits, sent, is_host, why) in [
        (LATE_GREETING, b"".to_vec(), false, "it sent no request"),
        (LONG, b"GET / HTTP/1.1\r\n\r\n".to_vec(), false, "is no USB/IP request"),
        (LATE_GREETING, hex!("0111 8003").to_vec(), false, "it sent no request"),
        (LATE_REST, half, true, "it stopped within a message"),
        (LONG, lying, true, "65536 is the most"),
        (LONG, submit(2, 3, true, 8, [0; 8], &[]).repeat(50), true, "32 transfers open"),
        (LONG, vec![0; 48], true, "for a device that it has not imported"),
    ] {
        let (listener, address) = listening().await;
        let told = told_within(limits, Via::ForUsbip(listener, Identity::default()), false, async |_| {
            let mut hostile =
                if is_host { plug_in(&address).await } else { TcpStream::connect(&address).await.unwrap() };
            let _ = hostile.write_all(&sent).await;
            let _ = hostile.read_to_end(&mut Vec::new()).await;
            is_served(&address, &import(), 320).await;
        })
        .await;
        assert!(told.has(why), "{sent:02X?}: {:?}", told.links);
        assert!(!told.card.iter().any(|entry| entry.starts_with("00B0")), "{:?}", told.card);
    }
}

/// It does not keep the reader.
#[tokio::test]
async fn a_usbip_client_that_never_reads_is_left() {
    let (listener, address) = listening().await;
    let told = told_within(LATE_TAKING, Via::ForUsbip(listener, Identity::default()), false, async |_| {
        let mut greedy = plug_in(&address).await;
        let transfers = submit(2, 0, true, 255, hex!("80 06 0002 0000 FF00"), &[]).repeat(1_000);
        while greedy.write_all(&transfers).await.is_ok() {}
        is_served(&address, &import(), 320).await;
    })
    .await;
    assert!(told.has("it does not take its answers"), "{:?}", told.links);
}

/// READ BINARY of a file of the slow [`Card`].
fn read_slowly(file: u8) -> Vec<u8> {
    [&hex!("6F 05000000 00 02 00 0000 00B0")[..], &[0x80 | file, 0x00, 0x02]].concat()
}

/// Its transfer is acknowledged at once, and the host is told to wait.
#[tokio::test]
async fn a_slow_card_behind_usbip_has_its_time_extended() {
    let (listener, address) = listening().await;
    told_while(Via::ForUsbip(listener, Identity::default()), false, async |hand: Hand| {
        let extension = hex!("80 00000000 00 02 80 01 00");
        let mut host = plug_in(&address).await;
        let mut response = ask(&mut host, &read_slowly(1)).await;
        while response == extension {
            host.write_all(&submit(9, 2, true, 271, [0; 8], &[])).await.unwrap();
            response = answer(&mut host, 9, true).await;
        }
        assert_eq!(response, hex!("80 04000000 00 02 00 00 00 0001 9000"));
        // One that takes an hour: the host can do other things meanwhile.
        assert_eq!(ask(&mut host, &read_slowly(2)).await, extension);
        host.write_all(&submit(10, 0, true, 2, hex!("80 00 0000 0000 0200"), &[])).await.unwrap();
        assert_eq!(answer(&mut host, 10, true).await, [0, 0]);
        host.write_all(&submit(11, 2, true, 271, [0; 8], &[])).await.unwrap();
        assert_eq!(answer(&mut host, 11, true).await, extension);
        // Who pulls the card does not wait for it either, and its answer never comes.
        hand.ask(Move::Pull).await.unwrap();
        loop {
            host.write_all(&submit(12, 2, true, 271, [0; 8], &[])).await.unwrap();
            let response = answer(&mut host, 12, true).await;
            if response != extension {
                assert_eq!(response, hex!("80 00000000 00 02 42 FE 00"));
                break;
            }
        }
    })
    .await;
}

/// Nothing of a client is there for the next one, even if all that it sent came at once, or its card is still at work.
#[tokio::test]
async fn the_next_usbip_client_begins_anew() {
    let configured = submit(1, 0, false, 0, hex!("0009 0100 0000 0000"), &[]);
    let message = |octets: &[u8]| submit(2, 2, false, octets.len(), [0; 8], octets);
    let power_on = message(&hex!("62 00000000 00 01 00 0000"));
    let used =
        [import(), configured.clone(), power_on, message(&hex!("6F 05000000 00 02 00 0000 00B0000002"))].concat();
    for wrong in [vec![0xFF; 48], [message(&read_slowly(2)), vec![0xFF; 48]].concat()] {
        let (listener, address) = listening().await;
        let told = told_while(Via::ForUsbip(listener, Identity::default()), false, async |_| {
            let mut first = TcpStream::connect(&address).await.unwrap();
            first.write_all(&[&used[..], &wrong].concat()).await.unwrap();
            let _ = first.read_to_end(&mut Vec::new()).await;
            let mut next = TcpStream::connect(&address).await.unwrap();
            next.write_all(&import()).await.unwrap();
            let mut device = [0; 320];
            next.read_exact(&mut device).await.unwrap();
            assert_eq!(device[..8], hex!("0111 0003 00000000"));
            assert_eq!(device[8 + 309], 0, "nobody has configured it");
            next.write_all(&configured).await.unwrap();
            answer(&mut next, 1, false).await;
            // The first answer is its own: the card has no power.
            let response = ask(&mut next, &hex!("6F 05000000 00 07 00 0000 00B0000003")).await;
            assert_eq!(response, hex!("80 00000000 00 07 41 FE 00"));
        })
        .await;
        assert!(told.has("for a device that it has not imported"), "{:?}", told.links);
        assert_eq!(told.links.first().map(String::as_str), Some("a host has the reader"), "before it is gone");
        let used_or_off = told.card.iter().filter(|entry| entry.starts_with("power")).take(2).collect::<Vec<_>>();
        assert_eq!(used_or_off, ["power on", "power off"]);
        assert!(!told.card.iter().any(|entry| entry == "00B0000003"), "{:?}", told.card);
    }
}

/// Who leaves and comes back at once is not told that the reader is taken.
#[tokio::test]
async fn a_usbip_client_comes_back_at_once() {
    let (listener, address) = listening().await;
    told_while(Via::ForUsbip(listener, Identity::default()), false, async |_| {
        for round in 0..200 {
            let mut host = plug_in(&address).await;
            if round % 2 == 0 {
                let transfers = submit(2, 0, true, 255, hex!("80 06 0002 0000 FF00"), &[]).repeat(round);
                host.write_all(&transfers).await.unwrap();
            }
        }
    })
    .await;
}

/// Those that say nothing keep nobody from the reader.
#[tokio::test]
async fn idle_usbip_clients_are_in_nobodys_way() {
    let (listener, address) = listening().await;
    told_while(Via::ForUsbip(listener, Identity::default()), false, async |_| {
        let mut idle = Vec::new();
        for _ in 0..7 {
            idle.push(TcpStream::connect(&address).await.unwrap());
        }
        plug_in(&address).await;
    })
    .await;
}
