//! The service centre's end of SMPP.
//!
//! A connection is one task: it reads a frame, answers it, reads the next. Further requests wait in the
//! network, so a client's window may be of any size and costs nothing here. Receipts are sent a few at a
//! time, to any session of their client that can receive.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use https::network_of;
use https::places::{Full, Place, Places, Whose};
use identities::Discreet;
use network_base::database::queue::Claim;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use system::unix_now;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, info, warn};

use super::body::{Bind, INTERFACE_VERSION, Query, ShortMessage, submitted, tag};
use super::link::{Link, LinkError};
use super::pdu::{Command, Pdu, Status};
use super::{content, time};
use crate::message::{Receipt, SmscError, Submission};
use crate::store::{DueReceipt, Event, Smsc};

/// The name by which the service centre answers.
const SYSTEM_ID: &str = "vuicc";
/// Delay after a wrong password.
const WRONG_PASSWORD: Duration = Duration::from_millis(500);
/// Maximum number of unacknowledged receipts per client.
const WINDOW: usize = 10;
/// Messages a session may submit in a second.
const RATE: u32 = 500;
/// How often timeouts are checked, and receipts that another process made due.
const GLANCE: Duration = Duration::from_secs(1);
/// How often messages are expired.
const TIDY: Duration = Duration::from_secs(5);
/// Maximum number of connections, and of one network. A bound client keeps its own; an unbound one loses it
/// if another client needs one.
const MOST_CONNECTIONS: usize = 256;
const MOST_OF_ONE: usize = MOST_CONNECTIONS / 4;
/// Grace period of sessions when the server stops.
const GRACE: Duration = Duration::from_secs(2);

/// Who may bind.
pub struct Client {
    system_id: String,
    /// SHA-256: comparing it tells nothing about lengths.
    password: [u8; 32],
}

impl Client {
    /// A client with this name and password. SMPP has room for 15 and 8 characters.
    pub fn new(system_id: &str, password: &str) -> Self {
        Self { system_id: system_id.to_owned(), password: Sha256::digest(password.as_bytes()).into() }
    }
}

impl core::fmt::Debug for Client {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Client({}, password secret)", self.system_id)
    }
}

/// Serves clients, and expires messages, until `stop` is ready.
pub async fn serve(smsc: Smsc, listener: TcpListener, stop: impl Future<Output = ()>) -> io::Result<()> {
    let (stopping, stopped) = watch::channel(false);
    let places = Places::new(MOST_CONNECTIONS, MOST_OF_ONE);
    let mut sessions = JoinSet::new();
    let mut tidy = interval(TIDY);
    tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A connection that waits for a place is kept.
    let mut waiting = None;
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &places, &mut waiting) => match accepted {
                Ok(Some((stream, from, place))) => {
                    let (smsc, stopped) = (smsc.clone(), stopped.clone());
                    let given_up = place.given_up();
                    sessions.spawn(async move {
                        tokio::select! {
                            () = connection(smsc, stream, (from, place), stopped) => {}
                            () = given_up.notified() => debug!(%from, "closed: evicted for another client"),
                        }
                    });
                }
                Ok(None) => {}
                Err(error) => {
                    // Most likely too many open files: the next one may succeed.
                    warn!(%error, "accept");
                    sleep(Duration::from_millis(50)).await;
                }
            },
            _ = tidy.tick() => {
                if let Err(error) = smsc.tidy(unix_now()).await {
                    warn!(error = %Discreet(&error), "tidying up");
                }
            }
            Some(_) = sessions.join_next() => {}
        }
    }
    stopping.send_replace(true);
    let all = async { while sessions.join_next().await.is_some() {} };
    if timeout(GRACE, all).await.is_err() {
        debug!("aborting open sessions");
    }
    Ok(())
}

/// The next connection with its place; nothing if its network has used its quota, with all bound.
/// Cancellation-safe: a connection without a place yet is kept in `waiting`.
async fn accept(
    listener: &TcpListener,
    places: &Places,
    waiting: &mut Option<(TcpStream, SocketAddr)>,
) -> io::Result<Option<(TcpStream, SocketAddr, Place)>> {
    let from = match waiting {
        Some((_, from)) => *from,
        None => waiting.insert(listener.accept().await?).1,
    };
    loop {
        match places.take(Whose::Network(network_of(from.ip()))) {
            Ok(place) => return Ok(waiting.take().map(|(stream, from)| (stream, from, place))),
            Err(Full::Share) => {
                info!(%from, most = MOST_OF_ONE, "closed: too many clients from there");
                *waiting = None;
                return Ok(None);
            }
            Err(Full::All) => places.freed().await,
        }
    }
}

async fn connection(smsc: Smsc, stream: TcpStream, (from, place): (SocketAddr, Place), stopped: watch::Receiver<bool>) {
    let link = match Link::new(stream, smsc.inner.settings.timeouts) {
        Ok(link) => link,
        Err(error) => return debug!(%from, %error, "connection"),
    };
    let now = Instant::now();
    let session = Session {
        smsc,
        link,
        from,
        place,
        bound: None,
        began: now,
        heard: now,
        asked: None,
        sequence: 0,
        under_way: HashMap::new(),
        submitted: (now, 0),
    };
    match session.run(stopped).await {
        Ok(()) | Err(LinkError::Closed) => debug!(%from, "session ended"),
        Err(error) => info!(%from, %error, "session cut"),
    }
}

/// What a client is bound as.
struct Bound {
    client: String,
    transmits: bool,
    receives: bool,
    /// Whether it knows optional parameters.
    optional: bool,
}

struct Session {
    smsc: Smsc,
    link: Link,
    from: SocketAddr,
    place: Place,
    bound: Option<Bound>,
    began: Instant,
    /// When the last frame came.
    heard: Instant,
    /// When enquire_link was sent, until it is answered.
    asked: Option<Instant>,
    sequence: u32,
    /// Receipts sent and not acknowledged: by sequence number the message, and when it was sent.
    under_way: HashMap<u32, (Claim<String>, Instant)>,
    /// Messages submitted since that moment.
    submitted: (Instant, u32),
}

/// Whether a session goes on.
#[derive(PartialEq, Eq)]
enum Next {
    On,
    Over,
}

impl Session {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) -> Result<(), LinkError> {
        let mut events = self.smsc.events();
        let mut clock = interval(GLANCE);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                frame = self.link.next() => match frame {
                    Ok(pdu) => {
                        self.heard = Instant::now();
                        self.asked = None;
                        debug!(from = %self.from, ?pdu, "received");
                        if self.handle(pdu).await? == Next::Over {
                            return Ok(());
                        }
                    }
                    Err(LinkError::NoFrame(refused)) => {
                        // Frame boundaries are lost.
                        self.link.send(&Pdu::nack(Status::INVALID_COMMAND_LENGTH, refused.sequence)).await?;
                        return Err(refused.into());
                    }
                    Err(error) => return Err(error),
                },
                heard = events.recv() => if matches!(heard, Ok(Event::Receipts) | Err(RecvError::Lagged(_))) {
                    self.send_receipts().await?;
                },
                _ = clock.tick() => {
                    if self.look_at_clocks().await? == Next::Over {
                        return Ok(());
                    }
                    self.send_receipts().await?;
                }
                () = told_to_stop(&mut stopped) => {
                    if self.bound.is_some() {
                        let unbind = Pdu::request(Command::UNBIND, self.next_sequence(), Vec::new());
                        self.link.send(&unbind).await?;
                        while timeout(GRACE, self.link.next()).await.map_err(|_| LinkError::Slow)??.command
                            != Command::UNBIND.answer() {}
                    }
                    return Ok(());
                }
            }
        }
    }

    async fn handle(&mut self, pdu: Pdu) -> Result<Next, LinkError> {
        if pdu.command.is_answer() {
            return Ok(self.answered(&pdu).await);
        }
        let (status, body) = match pdu.command {
            Command::ENQUIRE_LINK => (Status::OK, Vec::new()),
            Command::BIND_RECEIVER | Command::BIND_TRANSMITTER | Command::BIND_TRANSCEIVER => {
                return self.bind(&pdu).await;
            }
            Command::UNBIND if self.bound.is_some() => {
                self.link.send(&pdu.answer(Status::OK, Vec::new())).await?;
                return Ok(Next::Over);
            }
            Command::UNBIND => (Status::INVALID_BIND_STATE, Vec::new()),
            Command::SUBMIT_SM | Command::QUERY_SM | Command::CANCEL_SM => match &self.bound {
                Some(Bound { client, transmits: true, .. }) => {
                    let client = client.clone();
                    match self.serve_transmitter(&client, &pdu).await {
                        Ok(body) => (Status::OK, body),
                        Err(status) => (status, Vec::new()),
                    }
                }
                _ => (Status::INVALID_BIND_STATE, Vec::new()),
            },
            // Known, but not supported: messages have one receiver, and are not replaced in place.
            Command::REPLACE_SM => (Status::REPLACE_FAILED, Vec::new()),
            Command::SUBMIT_MULTI | Command::DATA_SM => (Status::INVALID_COMMAND, Vec::new()),
            _ => {
                self.link.send(&Pdu::nack(Status::INVALID_COMMAND, pdu.sequence)).await?;
                return Ok(Next::On);
            }
        };
        if status != Status::OK {
            info!(from = %self.from, command = %pdu.command, %status, "refused");
        }
        self.link.send(&pdu.answer(status, body)).await?;
        Ok(Next::On)
    }

    async fn bind(&mut self, pdu: &Pdu) -> Result<Next, LinkError> {
        if self.bound.is_some() {
            self.link.send(&pdu.answer(Status::ALREADY_BOUND, Vec::new())).await?;
            return Ok(Next::On);
        }
        let bind = Bind::decode(&pdu.body).and_then(|bind| {
            let known = authenticate(&self.smsc.inner.settings.clients, &bind.system_id, &bind.password);
            if known { Ok(bind) } else { Err(Status::INVALID_PASSWORD) }
        });
        let bind = match bind {
            Ok(bind) => bind,
            Err(status) => {
                warn!(from = %self.from, %status, "bind refused");
                // Slows down guessing.
                sleep(WRONG_PASSWORD).await;
                self.link.send(&pdu.answer(status, Vec::new())).await?;
                return Ok(Next::Over);
            }
        };
        let optional = bind.version >= INTERFACE_VERSION;
        let body = if optional { Bind::answer(SYSTEM_ID) } else { submitted(SYSTEM_ID) };
        self.link.send(&pdu.answer(Status::OK, body)).await?;
        info!(from = %self.from, client = bind.system_id, as_ = %pdu.command, "bound");
        self.place.answers();
        self.bound = Some(Bound {
            client: bind.system_id,
            transmits: pdu.command != Command::BIND_RECEIVER,
            receives: pdu.command != Command::BIND_TRANSMITTER,
            optional,
        });
        self.send_receipts().await?;
        Ok(Next::On)
    }

    /// Requests of transmitters: the body of the answer.
    async fn serve_transmitter(&mut self, client: &str, pdu: &Pdu) -> Result<Vec<u8>, Status> {
        let now = unix_now();
        match pdu.command {
            Command::SUBMIT_SM => {
                self.throttle()?;
                let submission = submission(client, &ShortMessage::decode(&pdu.body)?, now)?;
                let id = self.smsc.submit(&submission, now).await.map_err(|error| status_of(&error))?;
                info!(from = %self.from, client, id, to = ?submission.destination, "message accepted");
                Ok(submitted(&id))
            }
            Command::QUERY_SM => {
                let Query { message_id, source } = Query::decode(&pdu.body)?;
                let fate = self.smsc.query(client, &message_id, &source).await.map_err(|error| status_of(&error))?;
                let final_date = fate.final_at.map(time::absolute).unwrap_or_default();
                Ok(Query::answer(&message_id, &final_date, fate.state.octet(), 0))
            }
            _ => {
                let Query { message_id, source } = Query::decode_cancel(&pdu.body)?;
                let cancelled = self.smsc.cancel(client, &message_id, &source, now).await;
                cancelled.map_err(|error| match error {
                    SmscError::NoMessage => Status::CANCEL_FAILED,
                    other => status_of(&other),
                })?;
                Ok(Vec::new())
            }
        }
    }

    fn throttle(&mut self) -> Result<(), Status> {
        let (since, count) = &mut self.submitted;
        if since.elapsed() >= Duration::from_secs(1) {
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
        if *count > RATE { Err(Status::THROTTLED) } else { Ok(()) }
    }

    /// An answer of the client.
    async fn answered(&mut self, pdu: &Pdu) -> Next {
        if pdu.command == Command::UNBIND.answer() {
            return Next::Over;
        }
        if let Some((claim, _)) = self.under_way.remove(&pdu.sequence) {
            if pdu.status == Status::OK {
                if let Err(error) = self.smsc.receipt_done(&claim).await {
                    // It is retried.
                    warn!(error = %Discreet(&error), "a receipt's acknowledgement");
                }
            } else {
                info!(from = %self.from, id = claim.key, status = %pdu.status, "receipt rejected");
            }
        }
        Next::On
    }

    async fn look_at_clocks(&mut self) -> Result<Next, LinkError> {
        if self.bound.is_none() && self.began.elapsed() >= self.smsc.inner.settings.timeouts.bind {
            info!(from = %self.from, "closed: no bind in time");
            return Ok(Next::Over);
        }
        let timeouts = self.smsc.inner.settings.timeouts;
        // Unacknowledged receipts are retried later, here or elsewhere.
        self.under_way.retain(|_, (_, sent)| sent.elapsed() < timeouts.answer);
        match self.asked {
            Some(asked) if asked.elapsed() >= timeouts.answer => {
                info!(from = %self.from, "closed: no answer to enquire_link");
                return Ok(Next::Over);
            }
            None if self.bound.is_some() && self.heard.elapsed() >= timeouts.quiet => {
                let enquire_link = Pdu::request(Command::ENQUIRE_LINK, self.next_sequence(), Vec::new());
                self.link.send(&enquire_link).await?;
                self.asked = Some(Instant::now());
            }
            _ => {}
        }
        Ok(Next::On)
    }

    async fn send_receipts(&mut self) -> Result<(), LinkError> {
        let Some(Bound { client, receives: true, optional, .. }) = &self.bound else { return Ok(()) };
        let (room, optional) = (WINDOW.saturating_sub(self.under_way.len()), *optional);
        if room == 0 {
            return Ok(());
        }
        let receipts = match self.smsc.take_receipts(client, room, unix_now()).await {
            Ok(receipts) => receipts,
            Err(error) => {
                warn!(error = %Discreet(&error), "receipts");
                return Ok(());
            }
        };
        for receipt in receipts {
            let sequence = self.next_sequence();
            let deliver = Pdu::request(Command::DELIVER_SM, sequence, receipt_message(&receipt, optional).encode());
            self.link.send(&deliver).await?;
            info!(from = %self.from, id = receipt.claim.key, state = receipt.state.name(), "receipt sent");
            self.under_way.insert(sequence, (receipt.claim, Instant::now()));
        }
        Ok(())
    }

    /// 1 to 7FFFFFFF, and again.
    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence % 0x7FFF_FFFF + 1;
        self.sequence
    }
}

/// Also when the session is dropped.
async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Whether a client has this name and password. Takes as long for an unknown name.
fn authenticate(clients: &[Client], system_id: &str, password: &str) -> bool {
    let password: [u8; 32] = Sha256::digest(password.as_bytes()).into();
    let mut known = subtle::Choice::from(0);
    for client in clients {
        let name = client.system_id.as_bytes().ct_eq(system_id.as_bytes());
        known |= name & client.password.ct_eq(&password);
    }
    known.into()
}

/// A client's submission, parsed.
fn submission(client: &str, message: &ShortMessage, now: u64) -> Result<Submission, Status> {
    let mode = message.esm_class & ShortMessage::MODE;
    // User and delivery acknowledgements are not submitted by clients.
    let kind = message.esm_class & ShortMessage::KIND;
    if kind != 0 || (mode != 0 && mode != ShortMessage::STORE_AND_FORWARD) {
        return Err(Status::INVALID_ESM_CLASS);
    }
    if message.default_message != 0 {
        return Err(Status::INVALID_DEFAULT_MESSAGE);
    }
    if message.replace_if_present > 1 {
        return Err(Status::INVALID_REPLACE_FLAG);
    }
    let receipt = match message.registered_delivery & 0b11 {
        0b00 => Receipt::Never,
        0b01 => Receipt::Always,
        0b10 => Receipt::Failure,
        _ => return Err(Status::INVALID_REGISTERED_DELIVERY),
    };
    let moment = |text: &str, otherwise| match text {
        "" => Ok(None),
        text => time::parse(text, now).map(Some).ok_or(otherwise),
    };
    let not_before = moment(&message.schedule, Status::INVALID_SCHEDULE)?;
    let expires_at = moment(&message.validity, Status::INVALID_EXPIRY)?;
    if expires_at.is_some_and(|end| end <= now.max(not_before.unwrap_or_default())) {
        return Err(Status::INVALID_EXPIRY);
    }
    Ok(Submission {
        client: client.to_owned(),
        service_type: message.service_type.clone(),
        source: message.source.clone(),
        destination: message.destination.clone(),
        data: content::read(message)?,
        protocol: message.protocol,
        reply_path: message.esm_class & ShortMessage::REPLY_PATH != 0,
        not_before,
        expires_at,
        receipt,
        replace: message.replace_if_present == 1,
    })
}

fn status_of(error: &SmscError) -> Status {
    match error {
        SmscError::Source | SmscError::Barred => Status::INVALID_SOURCE,
        SmscError::Destination => Status::INVALID_DESTINATION,
        SmscError::Contents => Status::INVALID_MESSAGE_LENGTH,
        SmscError::QueueFull => Status::QUEUE_FULL,
        SmscError::NoMessage => Status::INVALID_MESSAGE_ID,
        SmscError::Register(_) | SmscError::Database(_) | SmscError::Corrupt(_) => {
            tracing::error!(error = %Discreet(&error), "SMPP");
            Status::SYSTEM_ERROR
        }
    }
}

/// A delivery receipt. Appendix B. It does not repeat the message.
fn receipt_message(receipt: &DueReceipt, optional: bool) -> ShortMessage {
    let DueReceipt { claim, source, destination, state, submitted_at, final_at } = receipt;
    let id = &claim.key;
    let text = format!(
        "id:{id} sub:001 dlvrd:{:03} submit date:{} done date:{} stat:{} err:000 text:",
        u8::from(*state == crate::State::Delivered),
        time::receipt(*submitted_at),
        time::receipt(*final_at),
        state.in_receipt(),
    );
    let mut message = ShortMessage::new(destination.clone(), source.clone(), 0, text.into_bytes());
    message.esm_class = ShortMessage::RECEIPT;
    if optional {
        message.optional = vec![
            (tag::RECEIPTED_MESSAGE_ID, [id.as_bytes(), &[0]].concat()),
            (tag::MESSAGE_STATE, vec![state.octet()]),
        ];
    }
    message
}
