//! Both ends in one process, and servers and banks that do what they should not.

use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::super::{Bank, Mappings, serve};
use super::*;
use crate::socket::{Address, Listener};
use crate::testing::FakeCard;

const CLIENT: ClientSlot = ClientSlot { client: 7, slot: 0 };
const BANK: BankSlot = BankSlot { bank: 1, slot: 0 };
const SOON: Duration = Duration::from_secs(10);

/// A bank with one card, until this is dropped.
struct Running {
    address: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(mappings: Mappings) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = Listener::bind(&"0".parse().unwrap()).await.unwrap();
                let Address::Tcp(address) = listener.address().clone() else { panic!() };
                tell.send(address).unwrap();
                let bank = Arc::new(Bank::new(1, vec![Box::<FakeCard>::default()], mappings).unwrap());
                let stopped = async {
                    let _ = stopped.await;
                };
                serve(bank, &listener, stopped, |_| {}).await;
            });
        });
        Self { address: told.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }

    fn connect(&self) -> Result<RemoteCard, RemoteError> {
        RemoteCard::connect(&Place::Bank(self.address.clone(), BANK), CLIENT, SOON)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn a_card_of_a_bank_is_used() {
    let bank = Running::start(Mappings::ByNumber);
    let mut card = bank.connect().unwrap();
    assert_eq!((card.atr(), card.bank()), (FakeCard::ATR, BANK));
    assert_eq!(card.transmit(&[0, 0xB0, 0, 0, 2]), Ok(vec![0, 1, 0x90, 0]));
    assert_eq!(card.reset(), Ok(FakeCard::ATR.to_vec()));
    assert_eq!(card.warm_reset(), Ok(FakeCard::ATR.to_vec()));
    assert_eq!(card.transmit(&[0, 0xB0, 0, 0, 0]).map(|response| response.len()), Ok(258));
    assert_eq!(card.transmit(&[0; 262]), Err(TransportError::CommandTooLong(262)));
    let refused = bank.connect().unwrap_err().to_string();
    assert!(refused.contains("identityInUse; another client has"), "{refused}");
    drop(card);
    let lost = bank.connect().unwrap().lost();
    assert_eq!(lost.why(), None);
}

#[test]
fn a_bank_that_goes_is_noticed() {
    let bank = Running::start(Mappings::ByNumber);
    let mut card = bank.connect().unwrap();
    drop(bank);
    let Err(TransportError::Connection(why)) = card.transmit(&[0, 0xB0, 0, 0, 2]) else { panic!() };
    assert!(why.contains("closed") || why.contains("reset") || why.contains("pipe"), "{why}");
    assert_eq!(card.lost().why(), Some(why.clone()));
    assert_eq!(card.reset(), Err(TransportError::Connection(why)));
}

/// What a peer does with the one connection that it gets.
fn peer(does: impl FnOnce(&mut Line) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        does(&mut Line::over(stream, "test").unwrap());
    });
    (address, thread)
}

fn hear(line: &mut Line) -> Message {
    line.message(Instant::now() + SOON).unwrap().unwrap()
}

/// Answers these octets to whatever it hears first: what is not heard would break the connection.
fn says(line: &mut Line, octets: &[u8]) {
    hear(line);
    write(&line.writer, octets).unwrap();
}

fn welcome(line: &mut Line, component: ComponentType, result: ResultCode) {
    assert!(matches!(hear(line), Message::ConnectClientReq { client: Some(CLIENT), .. }));
    line.send(Message::ConnectClientRes { identity: identity(component, "test"), result }).unwrap();
}

#[test]
fn banks_that_are_none() {
    for (does, why) in [
        (
            Box::new(|line: &mut Line| drop(hear(line))) as Box<dyn FnOnce(&mut Line) + Send>,
            "has closed the connection",
        ),
        (Box::new(|line| says(line, b"SSH-2.0-x\r\n")), "a frame of 21331 octets"),
        (Box::new(|line| says(line, &[0, 3, 0xEE, 7, 0x30, 0])), "without its version"),
        (Box::new(|line| welcome(line, ComponentType::SERVER, ResultCode::OK)), "is remsimServer, not remsimBankd"),
        (
            Box::new(|line| welcome(line, ComponentType::BANK, ResultCode::CARD_NOT_PRESENT)),
            "cardNotPresent; the bank has no mapping",
        ),
        (
            Box::new(|line| {
                welcome(line, ComponentType::BANK, ResultCode::OK);
                line.send(Message::SetAtrReq { slot: CLIENT, atr: vec![0x3B, 0] }).unwrap();
                assert!(matches!(hear(line), Message::SetAtrRes(ResultCode::OK)));
                assert!(matches!(hear(line), Message::TpduModemToCard { from: CLIENT, to: BANK, .. }));
                let elsewhere = ClientSlot { client: 8, slot: 0 };
                let (flags, data) = (TpduFlags::default(), vec![0x90, 0]);
                line.send(Message::TpduCardToModem { from: BANK, to: elsewhere, flags, data }).unwrap();
            }),
            "a response of 1:0 for client 8:0",
        ),
    ] {
        let (address, thread) = peer(does);
        let card = RemoteCard::connect(&Place::Bank(address, BANK), CLIENT, SOON);
        let told = match card {
            Err(error) => error.to_string(),
            Ok(mut card) => card.transmit(&[0, 0xB0, 0, 0, 2]).unwrap_err().to_string(),
        };
        assert!(told.contains(why), "{told}");
        thread.join().unwrap();
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let told = RemoteCard::connect(&Place::Bank(free.clone(), BANK), CLIENT, SOON).unwrap_err().to_string();
    assert!(told.starts_with(&format!("no bank at {free}: ")) && told.contains("start it"), "{told}");
}

#[test]
fn a_server_gives_a_card_and_takes_it_away() {
    let bank = Running::start(Mappings::ByNumber);
    let at = IpPortOf(&bank.address).get();
    let (go, gone) = channel::<()>();
    let (address, thread) = peer(move |line| {
        welcome(line, ComponentType::SERVER, ResultCode::OK);
        write(&line.writer, &Frame::Ping.octets()).unwrap();
        line.send(Message::ConfigClientBankReq { bank: BANK, at }).unwrap();
        assert!(matches!(hear(line), Message::ConfigClientBankRes(ResultCode::OK)));
        gone.recv().unwrap();
        line.send(Message::ConfigClientBankReq { bank: BANK, at: IpPortOf("127.0.0.1:0").get() }).unwrap();
        assert!(matches!(hear(line), Message::ConfigClientBankRes(ResultCode::OK)));
    });
    let mut card = RemoteCard::connect(&Place::Server(address), CLIENT, SOON).unwrap();
    assert_eq!(card.transmit(&[0, 0xB0, 0, 0, 2]), Ok(vec![0, 1, 0x90, 0]));
    go.send(()).unwrap();
    thread.join().unwrap();
    let lost = card.lost();
    assert_eq!(lost.why().as_deref(), Some("the server has taken the card away"));
    assert!(card.transmit(&[0, 0xB0, 0, 0, 2]).is_err());
}

#[test]
fn a_server_without_a_card_is_not_waited_for() {
    let (address, thread) = peer(|line| {
        welcome(line, ComponentType::SERVER, ResultCode::OK);
        // Until the client has gone.
        let _ = line.message(Instant::now() + SOON);
    });
    let told = RemoteCard::connect(&Place::Server(address), CLIENT, Duration::ZERO).unwrap_err().to_string();
    assert!(told.contains("no card for client 7:0 within 0 s; map one"), "{told}");
    thread.join().unwrap();
}

/// An address as messages have it.
struct IpPortOf<'a>(&'a str);

impl IpPortOf<'_> {
    fn get(&self) -> rspro::IpPort {
        rspro::IpPort(self.0.parse().unwrap())
    }
}
