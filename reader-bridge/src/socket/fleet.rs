//! Many cards behind one socket: each client says by EID which one it wants, and has that alone until it is gone.
//!
//! The messages are those of [the module above](super). Before a card has power a client selects it, and may select another one
//! when it has taken the power away:
//!
//! | client sends | fleet answers |
//! |---|---|
//! | `0011 05 89049032…` the EID, two digits to an octet | `0001 00`: it is this client's |
//! | | `0001 01`: no card has this EID |
//! | | `0001 02`: another client has it |
//! | | `0001 03`: there are too many clients; the connection is closed |
//! | `0001 01` power on, and so on | as a single card does |
//! | the same with no card selected | to `0001 04`, which asks for the answer to reset, `0001 04`: it has to select one; the \
//! connection is closed |
//!
//! A client that is gone has left its card without power, for the next one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use apdu::Icc;
use tokio::task::{JoinSet, block_in_place};

use super::server::{Client, LIMITS, Limits, Listener, refused, whole_message, within};
use crate::vpcd::frames::{Frames, hold_back, respond, seal};
use crate::vpcd::{GET_ATR, POWER_OFF, POWER_ON, RESET};

/// Selects a card: the first octet of a message, the EID follows.
pub const SELECT: u8 = 0x05;
/// The answer where the card is the client's.
pub const SELECTED: u8 = 0x00;

/// Why a client does not get a card: the answer to its selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Unselected {
    /// No card has this EID.
    NoSuchCard = 0x01,
    /// Another client has it.
    InUse = 0x02,
    /// There are as many clients as there may be.
    TooManyClients = 0x03,
    /// It asked for the answer to reset and has selected none.
    NoneSelected = 0x04,
}

/// What is told of a client that wants a card and does not say which.
const UNSELECTED: &str = "it does not begin with the selection of a card (0011 05 EID)";

/// Who keeps the cards that no client has.
pub trait Cards: Send + Sync + 'static {
    /// A card.
    type Card: Icc + Send;

    /// Gives out a card.
    ///
    /// # Errors
    /// [`Unselected::NoSuchCard`] or [`Unselected::InUse`].
    fn take(&self, eid: [u8; 16]) -> Result<Self::Card, Unselected>;

    /// Takes back one that was given out, without power.
    fn put_back(&self, eid: [u8; 16], card: Self::Card);
}

/// A card that a client has. It is put back however that ends.
struct Taken<C: Cards> {
    cards: Arc<C>,
    eid: [u8; 16],
    card: Option<C::Card>,
}

impl<C: Cards> Drop for Taken<C> {
    fn drop(&mut self) {
        if let Some(mut card) = self.card.take() {
            card.power_off();
            self.cards.put_back(self.eid, card);
        }
    }
}

/// Serves the cards to the clients of `listener`, at most so many at a time, until `shutdown` completes. A command that a card
/// works on then is carried out.
///
/// Runs on a runtime of several threads: a card computes, and writes to its disk, in the thread of its client.
pub async fn serve<C: Cards>(
    cards: Arc<C>,
    listener: &Listener,
    most: usize,
    shutdown: impl Future<Output = ()>,
    on_client: impl Fn(Client<'_>) + Clone + Send + Sync + 'static,
) {
    serve_within(LIMITS, cards, listener, most, shutdown, on_client).await;
}

async fn serve_within<C: Cards>(
    limits: Limits,
    cards: Arc<C>,
    listener: &Listener,
    most: usize,
    shutdown: impl Future<Output = ()>,
    on_client: impl Fn(Client<'_>) + Clone + Send + Sync + 'static,
) {
    /// Before the next try, where no connection can be accepted: too many files are open.
    const PAUSE: Duration = Duration::from_millis(200);
    /// Clients that are one too many and are told so, at a time: the others are left without an answer.
    const TOLD: usize = 16;
    let mut clients = JoinSet::new();
    let (connected, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let attend = async {
        loop {
            match listener.accept().await {
                Ok(client) => {
                    let (counter, is_full) = match connected.load(Ordering::Relaxed) {
                        many if many >= most => (&told, true),
                        _ => (&connected, false),
                    };
                    if !is_full || told.load(Ordering::Relaxed) < TOLD {
                        let (place, cards, on_client) = (Counted::of(counter), Arc::clone(&cards), on_client.clone());
                        clients.spawn(async move {
                            let end = if is_full {
                                send_away(limits, client).await
                            } else {
                                attend_client(limits, &cards, client, &on_client).await
                            };
                            on_client(Client::Gone(&end));
                            drop(place);
                        });
                    }
                }
                Err(cause) => {
                    on_client(Client::Unaccepted(&cause));
                    tokio::time::sleep(PAUSE).await;
                }
            }
            while clients.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        biased;
        () = shutdown => {}
        () = attend => {}
    }
    clients.shutdown().await;
}

/// Counts as long as it is there.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn of(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counter))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells a client that it is one too many.
async fn send_away(limits: Limits, mut client: Frames) -> io::Error {
    // It may be gone.
    let _ = within(limits.message, client.send(&[0, 1, Unselected::TooManyClients as u8]), "it takes no answer").await;
    io::Error::other("there are too many clients")
}

/// Answers one client until it is gone, and returns why.
async fn attend_client<C: Cards>(
    limits: Limits,
    cards: &Arc<C>,
    mut client: Frames,
    on_client: &impl Fn(Client<'_>),
) -> io::Error {
    let outcome: io::Result<()> = async {
        within(limits.greeting, client.arrival(), "it sent no message").await?;
        let mut taken: Option<Taken<C>> = None;
        let mut is_powered = false;
        let mut answer = Vec::with_capacity(512);
        loop {
            whole_message(limits, &mut client).await?;
            let message = client.receive().await?;
            answer.clear();
            answer.extend([0, 0]);
            let is_answered = match (message, taken.as_mut().and_then(|taken| taken.card.as_mut())) {
                ([SELECT, eid @ ..], _) if !is_powered && eid.len() == 16 => {
                    // One that it has is free from now on, for itself as well.
                    taken = None;
                    let eid = eid.try_into().unwrap_or_default();
                    match cards.take(eid) {
                        Ok(card) => {
                            taken = Some(Taken { cards: Arc::clone(cards), eid, card: Some(card) });
                            answer.push(SELECTED);
                        }
                        Err(why) => answer.push(why as u8),
                    }
                    true
                }
                // Who knows single cards only gets to know it by what is answered in the end.
                ([POWER_ON | RESET | POWER_OFF], None) => {
                    within(limits.greeting, client.arrival(), "it selected no card").await?;
                    false
                }
                ([GET_ATR], None) => {
                    let answer = [0, 1, Unselected::NoneSelected as u8];
                    within(limits.message, client.send(&answer), "it does not take its answers").await?;
                    return Err(refused(UNSELECTED));
                }
                (_, None) => return Err(refused(UNSELECTED)),
                ([POWER_ON | RESET | POWER_OFF | GET_ATR], Some(card)) => {
                    match message {
                        [POWER_ON | RESET] if !is_powered => {
                            is_powered = true;
                            on_client(Client::Connected);
                        }
                        [POWER_OFF] => is_powered = false,
                        _ => {}
                    }
                    block_in_place(|| respond(card, message, &mut answer))
                }
                (_, Some(_)) if !is_powered => {
                    return Err(refused("it sent a command without giving the card power (0001 01)"));
                }
                (_, Some(card)) => {
                    let is_answered = block_in_place(|| respond(card, message, &mut answer));
                    hold_back(card).await;
                    is_answered
                }
            };
            if is_answered {
                seal(&mut answer);
                within(limits.message, client.send(&answer), "it does not take its answers").await?;
            }
        }
    }
    .await;
    outcome.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Mutex, PoisonError};

    use apdu::Transport;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::super::{Address, CardAddress, SocketCard};
    use super::*;
    use crate::reader_error::ReaderError;
    use crate::testing::FakeCard;

    const QUICK: Limits = Limits { greeting: Duration::from_millis(200), message: Duration::from_millis(200) };

    /// Cards by EID; `None`: a client has it.
    struct Shelf(Mutex<BTreeMap<[u8; 16], Option<FakeCard>>>);

    impl Cards for Shelf {
        type Card = FakeCard;

        fn take(&self, eid: [u8; 16]) -> Result<FakeCard, Unselected> {
            let mut cards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            cards.get_mut(&eid).ok_or(Unselected::NoSuchCard)?.take().ok_or(Unselected::InUse)
        }

        fn put_back(&self, eid: [u8; 16], card: FakeCard) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(eid, Some(card));
        }
    }

    fn eid(number: u8) -> [u8; 16] {
        [number; 16]
    }

    /// What the cards saw, and what was told of clients, while `clients` ran.
    async fn told_while<F: Future<Output = ()>>(
        limits: Limits,
        most: usize,
        clients: impl FnOnce(String) -> F,
    ) -> (Vec<Vec<String>>, Vec<String>) {
        let listener = Listener::bind(&"0".parse().unwrap()).await.unwrap();
        let Address::Tcp(address) = listener.address().clone() else { panic!() };
        let shelf = Shelf(Mutex::new((1..=3).map(|number| (eid(number), Some(FakeCard::default()))).collect()));
        let (shelf, told) = (Arc::new(shelf), Arc::new(Mutex::new(Vec::new())));
        let (stop, stopped) = oneshot::channel::<()>();
        let keep = Arc::clone(&told);
        let served = serve_within(
            limits,
            Arc::clone(&shelf),
            &listener,
            most,
            async { stopped.await.unwrap() },
            move |client| {
                keep.lock().unwrap().push(client.to_string());
            },
        );
        let clients = async {
            clients(address).await;
            stop.send(()).unwrap();
        };
        tokio::join!(served, clients);
        let cards = shelf.0.lock().unwrap();
        let logs = cards.values().map(|card| card.as_ref().expect("it was put back").log.clone()).collect();
        (logs, told.lock().unwrap().clone())
    }

    fn selection(number: u8) -> Vec<u8> {
        [&[0, 17, SELECT][..], &eid(number)].concat()
    }

    async fn ask(stream: &mut TcpStream, message: &[u8]) -> Vec<u8> {
        stream.write_all(message).await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut body = vec![0; length.into()];
        stream.read_exact(&mut body).await.unwrap();
        body
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_client_has_the_card_it_names() {
        let (logs, told) = told_while(LIMITS, 8, async |address: String| {
            let mut first = TcpStream::connect(&address).await.unwrap();
            let mut second = TcpStream::connect(&address).await.unwrap();
            assert_eq!(ask(&mut first, &selection(1)).await, [SELECTED]);
            assert_eq!(ask(&mut second, &selection(9)).await, [Unselected::NoSuchCard as u8]);
            assert_eq!(ask(&mut second, &selection(1)).await, [Unselected::InUse as u8]);
            assert_eq!(ask(&mut second, &selection(2)).await, [SELECTED]);
            for client in [&mut first, &mut second] {
                client.write_all(&[0, 1, POWER_ON]).await.unwrap();
                assert_eq!(ask(client, &[0, 1, GET_ATR]).await, FakeCard::ATR);
            }
            assert_eq!(ask(&mut first, &[0, 5, 0, 0xB0, 0, 0, 2]).await, [0, 1, 0x90, 0]);
            // A command that looks like a selection is one while the card has power.
            assert_eq!(ask(&mut second, &selection(3)).await, [0x90, 0x00]);
            second.write_all(&[0, 1, POWER_OFF]).await.unwrap();
            assert_eq!(ask(&mut second, &selection(3)).await, [SELECTED]);
            assert_eq!(ask(&mut second, &selection(3)).await, [SELECTED], "its own, anew");
            // What the first one leaves is there for the second.
            drop(first);
            while ask(&mut second, &selection(1)).await != [SELECTED] {}
        })
        .await;
        assert_eq!(logs[0], ["power on", "00B0000002", "power off", "power off"]);
        assert_eq!(logs[1].first().map(String::as_str), Some("power on"));
        assert_eq!(logs[2], ["power off", "power off"]);
        assert_eq!(told.iter().filter(|line| *line == "client connected").count(), 2, "{told:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_no_client_is_sent_away() {
        for (sent, why) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "it sent no message"),
            (&[0, 5, 0, 0xA4, 0, 4, 0], "it does not begin with the selection"),
            (&[0, 1, POWER_ON], "it selected no card"),
            (&[0, 1, POWER_ON, 0, 1, GET_ATR], "it does not begin with the selection"),
            (&[0, 16, SELECT, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], "it does not begin with the selection"),
            (&[0, 17, SELECT, 1], "it sent no message"),
            (&[&selection(1)[..], &[0, 4, 0, 0xA4, 0, 4]].concat(), "without giving the card power"),
            (&[&selection(1)[..], &[0, 1, POWER_ON, 0, 5, 0]].concat(), "it stopped within a message"),
        ] {
            let (logs, told) = told_while(QUICK, 8, async |address: String| {
                let mut hostile = TcpStream::connect(&address).await.unwrap();
                // The fleet may have closed the connection before all is sent.
                let _ = hostile.write_all(sent).await;
                let mut rest = Vec::new();
                let _ = hostile.read_to_end(&mut rest).await;
            })
            .await;
            assert!(told.iter().any(|line| line.contains(why)), "{sent:02X?}: {told:?}");
            assert!(!logs.iter().flatten().any(|entry| entry.starts_with("00A4")), "{sent:02X?}: {logs:?}");
        }
    }

    /// Clients that send commands and take no answers, and clients that are too many, keep nobody from a card.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_hostile_client_keeps_one_card() {
        let limits = Limits { greeting: LIMITS.greeting, ..QUICK };
        let (_, told) = told_while(limits, 2, async |address: String| {
            let mut greedy = TcpStream::connect(&address).await.unwrap();
            greedy.write_all(&selection(1)).await.unwrap();
            greedy.write_all(&[0, 1, POWER_ON]).await.unwrap();
            let greedy = async { while greedy.write_all(&[0, 5, 0, 0xB0, 0, 0, 0].repeat(1_000)).await.is_ok() {} };
            let other = async {
                let mut other = TcpStream::connect(&address).await.unwrap();
                assert_eq!(ask(&mut other, &selection(2)).await, [SELECTED]);
                for _ in 0..40 {
                    let mut one_more = TcpStream::connect(&address).await.unwrap();
                    let mut got = Vec::new();
                    let _ = one_more.read_to_end(&mut got).await;
                    assert!(got.is_empty() || got == [0, 1, Unselected::TooManyClients as u8], "{got:02X?}");
                }
                other.write_all(&[0, 1, POWER_ON]).await.unwrap();
                assert_eq!(ask(&mut other, &[0, 1, GET_ATR]).await, FakeCard::ATR);
            };
            tokio::join!(other, greedy);
        })
        .await;
        assert!(told.iter().any(|line| line.contains("it does not take its answers")), "{told:?}");
        assert!(told.iter().any(|line| line.contains("too many clients")), "{told:?}");
    }

    /// The client of this crate.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_card_is_used_by_its_address() {
        told_while(LIMITS, 2, async |address: String| {
            tokio::task::spawn_blocking(move || {
                let at = |number: u8| CardAddress { socket: Address::Tcp(address.clone()), eid: Some(eid(number)) };
                let connect = |number: u8| SocketCard::connect(&at(number));
                // A client that has left is noticed in a moment.
                let in_time = |number: u8| loop {
                    match connect(number) {
                        Err(ReaderError::TooManyClients { .. }) => std::thread::yield_now(),
                        outcome => break outcome,
                    }
                };
                let mut card = connect(1).unwrap();
                assert_eq!(card.transmit(&[0, 0xB0, 0, 0, 2]), Ok(vec![0, 1, 0x90, 0]));
                let busy = SocketCard::connect_within(&at(1), Duration::from_millis(50));
                assert!(matches!(busy, Err(ReaderError::Busy { .. })));
                assert!(matches!(in_time(9), Err(ReaderError::NoSuchCard { .. })));
                let nameless = CardAddress { socket: Address::Tcp(address.clone()), eid: None };
                let nameless = loop {
                    match SocketCard::connect(&nameless) {
                        Err(ReaderError::TooManyClients { .. }) => std::thread::yield_now(),
                        outcome => break outcome,
                    }
                };
                let said = nameless.err().map(|error| error.to_string()).unwrap_or_default();
                assert_eq!(
                    said,
                    format!("many cards are behind tcp:{address}; name one by its EID: tcp:{address}/EID")
                );
                let second = in_time(2).unwrap();
                assert!(matches!(connect(3), Err(ReaderError::TooManyClients { .. })));
                drop((card, second));
                let mut again = loop {
                    if let Ok(card) = in_time(1) {
                        break card;
                    }
                };
                assert_eq!(again.reset(), Ok(FakeCard::ATR.to_vec()));
            })
            .await
            .unwrap();
        })
        .await;
    }
}
