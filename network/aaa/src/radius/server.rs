//! The RADIUS server: duplicates, conversations by State, quotas.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use eap::packet::{self, Type};
use identities::Discreet;
use network_base::metrics::RADIUS_PACKETS;
use network_base::vector::VectorSource;
use system::fill_random;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tracing::{debug, info, warn};

use super::packet::{Code, MAX_LENGTH, MS_MPPE_RECV_KEY, MS_MPPE_SEND_KEY, Packet, Secret, attribute};
use crate::count::count_authentication;
use crate::eap::{Server, Session, Step, StepInput, Success};

/// Seconds for which the response to a request is kept, for retransmissions. RFC 5080 §2.2.2.
const DUPLICATE_LIFETIME: u64 = 30;
/// Seconds a peer has for its next response.
const SESSION_LIFETIME: u64 = 60;
/// Concurrent conversations, of all clients and of each; further ones are rejected.
const MAX_SESSIONS: usize = 100_000;
const MAX_SESSIONS_OF_CLIENT: usize = 20_000;
/// Requests whose responses are kept, of all clients and of each; further ones are dropped, and retransmitted.
const MAX_REQUESTS: usize = 200_000;
const MAX_REQUESTS_OF_CLIENT: usize = 50_000;
/// Concurrent requests; further ones are dropped, and retransmitted.
const MAX_WORKING: usize = 1024;

/// A RADIUS server for EAP only.
pub struct RadiusServer<S> {
    eap: Server<S>,
    clients: HashMap<IpAddr, Secret>,
    memory: Mutex<Memory>,
    limits: Limits,
    began: Instant,
}

/// How much is kept at most, of all and of one client.
#[derive(Clone, Copy)]
struct Limits {
    sessions: usize,
    sessions_of_client: usize,
    requests: usize,
    requests_of_client: usize,
}

impl Limits {
    const USUAL: Self = Self {
        sessions: MAX_SESSIONS,
        sessions_of_client: MAX_SESSIONS_OF_CLIENT,
        requests: MAX_REQUESTS,
        requests_of_client: MAX_REQUESTS_OF_CLIENT,
    };
}

/// What one client uses of them.
#[derive(Clone, Copy, Default)]
struct Counts {
    sessions: usize,
    requests: usize,
}

#[derive(Default)]
struct Memory {
    requests: HashMap<Request, (Progress, u64)>,
    /// Conversations by State, with their client and expiry.
    sessions: HashMap<[u8; 16], (Session, IpAddr, u64)>,
    /// Usage by client.
    of_client: HashMap<IpAddr, Counts>,
    /// When expired entries were last removed.
    swept: u64,
}

impl Memory {
    fn is_within_session_quota(&self, client: IpAddr, limits: Limits) -> bool {
        self.sessions.len() < limits.sessions && self.counts(client).sessions < limits.sessions_of_client
    }

    fn is_within_request_quota(&self, client: IpAddr, limits: Limits) -> bool {
        self.requests.len() < limits.requests && self.counts(client).requests < limits.requests_of_client
    }

    fn counts(&self, client: IpAddr) -> Counts {
        self.of_client.get(&client).copied().unwrap_or_default()
    }

    fn keep_request(&mut self, request: Request, progress: Progress, now: u64) {
        if self.requests.insert(request, (progress, now + DUPLICATE_LIFETIME)).is_none() {
            self.of_client.entry(request.0.ip()).or_default().requests += 1;
        }
    }

    fn keep(&mut self, state: [u8; 16], session: Session, client: IpAddr, now: u64) {
        if self.sessions.insert(state, (session, client, now + SESSION_LIFETIME)).is_none() {
            self.of_client.entry(client).or_default().sessions += 1;
        }
    }

    /// Takes a conversation, if it is this client's.
    fn take(&mut self, state: &[u8; 16], client: IpAddr) -> Option<Session> {
        if self.sessions.get(state).is_none_or(|(_, owner, _)| *owner != client) {
            return None;
        }
        let (session, ..) = self.sessions.remove(state)?;
        if let Some(counts) = self.of_client.get_mut(&client) {
            counts.sessions = counts.sessions.saturating_sub(1);
        }
        Some(session)
    }

    fn count(&mut self) {
        self.of_client.clear();
        for (_, client, _) in self.sessions.values() {
            self.of_client.entry(*client).or_default().sessions += 1;
        }
        for (client, ..) in self.requests.keys() {
            self.of_client.entry(client.ip()).or_default().requests += 1;
        }
    }
}

/// What identifies a retransmission. RFC 5080 §2.2.2.
type Request = (SocketAddr, u8, [u8; 16]);

enum Progress {
    Working,
    /// `None`: it got no response.
    Answered(Option<Vec<u8>>),
}

impl<S: VectorSource + 'static> RadiusServer<S> {
    /// A server for these clients: access points, gateways or proxies by address, each with its secret.
    pub fn new(eap: Server<S>, clients: HashMap<IpAddr, Secret>) -> Self {
        Self { eap, clients, memory: Mutex::default(), limits: Limits::USUAL, began: Instant::now() }
    }

    /// Serves until `stop` is ready.
    pub async fn serve(self, socket: UdpSocket, stop: impl Future<Output = ()>) -> io::Result<()> {
        let (server, socket) = (Arc::new(self), Arc::new(socket));
        let places = Arc::new(Semaphore::new(MAX_WORKING));
        let mut buffer = vec![0; MAX_LENGTH];
        tokio::pin!(stop);
        loop {
            let (length, from) = tokio::select! {
                () = &mut stop => return Ok(()),
                // Linux reports an earlier response that could not be delivered.
                received = socket.recv_from(&mut buffer) => match received {
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                    other => other?,
                },
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                debug!(%from, "dropped: too much to do");
                continue;
            };
            let datagram = buffer.get(..length).unwrap_or_default().to_vec();
            let (server, socket) = (Arc::clone(&server), Arc::clone(&socket));
            tokio::spawn(async move {
                let now = server.began.elapsed().as_secs();
                if let Some(answer) = server.handle(from, &datagram, now).await
                    && let Err(error) = socket.send_to(&answer, from).await
                {
                    warn!(%from, %error, "an answer could not be sent");
                }
                drop(place);
            });
        }
    }

    /// The response to a datagram, if there is one. `now` is in seconds.
    pub async fn handle(&self, from: SocketAddr, datagram: &[u8], now: u64) -> Option<Vec<u8>> {
        let Some(secret) = self.clients.get(&from.ip()) else {
            warn!(%from, "dropped: unknown client");
            return None;
        };
        let request = match Packet::parse_request(datagram, secret) {
            Ok(request) if request.code == Code::ACCESS_REQUEST => request,
            Ok(other) => {
                debug!(%from, code = other.code.0, "dropped: not an Access-Request");
                return None;
            }
            Err(error) => {
                warn!(%from, %error, "dropped");
                return None;
            }
        };
        let key = (from, request.identifier, request.authenticator);
        {
            let mut memory = self.memory(now);
            match memory.requests.get(&key) {
                Some((Progress::Working, _)) => return None,
                Some((Progress::Answered(answer), _)) => return answer.clone(),
                None if !memory.is_within_request_quota(from.ip(), self.limits) => {
                    warn!(%from, "dropped: too many requests at a time");
                    return None;
                }
                None => memory.keep_request(key, Progress::Working, now),
            }
        }
        let answer = self.answer(from, &request, secret, now).await;
        RADIUS_PACKETS.count([match answer.as_ref().and_then(|answer| answer.first()).map(|code| Code(*code)) {
            Some(Code::ACCESS_ACCEPT) => "accept",
            Some(Code::ACCESS_REJECT) => "reject",
            Some(_) => "challenge",
            None => "none",
        }]);
        self.memory(now).keep_request(key, Progress::Answered(answer.clone()), now);
        answer
    }

    async fn answer(&self, from: SocketAddr, request: &Packet, secret: &Secret, now: u64) -> Option<Vec<u8>> {
        let Some(message) = request.eap() else {
            info!(%from, "rejected: no EAP-Message; only EAP is supported");
            return Some(request.answer(Code::ACCESS_REJECT, &[]).sign(secret));
        };
        let shown = request.all(attribute::STATE).next().map(|state| state.try_into().unwrap_or_default());
        let Some(step) = self.step(from, shown, &message, now).await else {
            info!(%from, "rejected: State belongs to no conversation; it may have taken too long");
            return Some(rejection(request, &message, secret));
        };
        count_authentication("radius", &step);
        match step {
            Step::Request { packet, session } => {
                let mut state = [0; 16];
                fill_random(&mut state);
                let mut memory = self.memory(now);
                // Those in progress have freed their place with their last State.
                if shown.is_none() && !memory.is_within_session_quota(from.ip(), self.limits) {
                    warn!(%from, "rejected: too many conversations at a time");
                    return Some(rejection(request, &message, secret));
                }
                memory.keep(state, session, from.ip(), now);
                Some(request.answer(Code::ACCESS_CHALLENGE, &packet).with(attribute::STATE, &state).sign(secret))
            }
            Step::Success(success) => {
                info!(%from, imsi = ?success.imsi, method = ?success.method, fast = success.reauthenticated, "accepted");
                Some(acceptance(request, &success, secret))
            }
            Step::Failure { packet, reason } => {
                info!(%from, reason = %Discreet(&reason), "rejected");
                Some(request.answer(Code::ACCESS_REJECT, &packet).sign(secret))
            }
            Step::Ignored(session) => {
                debug!(%from, "dropped: not the answer to the last EAP request");
                self.memory(now).keep(shown?, session, from.ip(), now);
                None
            }
        }
    }

    /// What EAP does next: in the conversation of this State, or at the beginning of one. `None` if the State belongs to
    /// none.
    async fn step(&self, from: SocketAddr, state: Option<[u8; 16]>, message: &[u8], now: u64) -> Option<Step> {
        let mut random = fill_random;
        let mut given = StepInput { random: &mut random, now };
        if let Some(state) = state {
            let session = self.memory(now).take(&state, from.ip())?;
            return Some(self.eap.respond(session, message, &mut given).await);
        }
        let identity = packet::Packet::parse(message).ok();
        let identifier = identity.map_or(0, |packet| packet.identifier);
        let identity = identity.and_then(|packet| packet.body).filter(|(kind, _)| *kind == Type::IDENTITY);
        // Without an identity (EAP-Start) the method requests it.
        Some(self.eap.start(identity.map(|(_, identity)| identity), identifier, &mut given).await)
    }

    fn memory(&self, now: u64) -> MutexGuard<'_, Memory> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.swept < now {
            memory.swept = now;
            memory.requests.retain(|_, (_, end)| *end > now);
            memory.sessions.retain(|_, (.., end)| *end > now);
            memory.count();
        }
        memory
    }
}

/// An Access-Reject. Its failure answers what the peer said (RFC 3748 §4.2), not what it would have been asked.
fn rejection(request: &Packet, message: &[u8], secret: &Secret) -> Vec<u8> {
    let identifier = message.get(1).copied().unwrap_or_default();
    request.answer(Code::ACCESS_REJECT, &packet::failure(identifier)).sign(secret)
}

/// An Access-Accept with the keys of a session.
fn acceptance(request: &Packet, success: &Success, secret: &Secret) -> Vec<u8> {
    let (receive, send) = success.keys.msk.split_at(32);
    // Two salts of one packet differ.
    let mut salt = [0; 2];
    fill_random(&mut salt);
    let other = [salt[0], salt[1] ^ 1];
    request
        .answer(Code::ACCESS_ACCEPT, &success.packet)
        .with_mppe_key(MS_MPPE_RECV_KEY, receive, salt, secret)
        .with_mppe_key(MS_MPPE_SEND_KEY, send, other, secret)
        .sign(secret)
}

#[cfg(test)]
mod tests {
    use identities::Imsi;
    use network_base::vector::{AkaVector, Triplet, VectorError};

    use super::*;
    use crate::eap::Settings;
    use crate::radius::packet::request;
    use hex_literal::hex;

    /// An authentication centre without subscribers.
    struct Nobody;

    impl VectorSource for Nobody {
        async fn aka_vector(&self, _: &Imsi, _: bool) -> Result<AkaVector, VectorError> {
            Err(VectorError::UnknownSubscriber)
        }

        async fn sim_triplets(&self, _: &Imsi, _: usize) -> Result<Vec<Triplet>, VectorError> {
            Err(VectorError::UnknownSubscriber)
        }

        async fn resynchronise(&self, _: &Imsi, _: &[u8; 16], _: &[u8; 14]) -> Result<(), VectorError> {
            Err(VectorError::UnknownSubscriber)
        }
    }

    /// A server, and a client at an address.
    struct Line {
        server: RadiusServer<Nobody>,
        from: SocketAddr,
        secret: Secret,
    }

    impl Line {
        fn new() -> Self {
            let secret = Secret::new("testing123");
            let clients = HashMap::from([(IpAddr::from([127, 0, 0, 1]), secret.clone())]);
            let server = RadiusServer::new(Server::new(Settings::access(), Nobody), clients);
            Self { server, from: ([127, 0, 0, 1], 1812).into(), secret }
        }

        async fn ask(&self, identifier: u8, attributes: &[(u8, &[u8])]) -> Option<Vec<u8>> {
            self.server.handle(self.from, &request(&self.secret, identifier, attributes), 5).await
        }
    }

    /// Code, EAP packet and State of an answer.
    fn read(answer: &[u8]) -> (Code, Vec<u8>, Vec<u8>) {
        let (mut eap, mut state, mut rest) = (Vec::new(), Vec::new(), &answer[20..]);
        while let [kind, length, ..] = *rest {
            let value = &rest[2..usize::from(length)];
            match kind {
                attribute::EAP_MESSAGE => eap.extend_from_slice(value),
                attribute::STATE => state.extend_from_slice(value),
                _ => {}
            }
            rest = &rest[usize::from(length)..];
        }
        (Code(answer[0]), eap, state)
    }

    const IDENTITY: (u8, &[u8]) = (attribute::EAP_MESSAGE, &hex!("02070010 01 30303031303130303030303039"));

    #[tokio::test]
    async fn strangers_are_not_answered() {
        let mut line = Line::new();
        assert!(line.ask(1, &[IDENTITY]).await.is_some());
        line.secret = Secret::new("guessed");
        assert!(line.ask(2, &[IDENTITY]).await.is_none());
        line = Line { from: ([127, 0, 0, 2], 1812).into(), ..Line::new() };
        assert!(line.ask(1, &[IDENTITY]).await.is_none());
        assert!(line.server.handle(line.from, b"hello", 5).await.is_none());
    }

    #[tokio::test]
    async fn the_same_request_gets_the_same_answer() {
        let line = Line::new();
        let first = line.ask(1, &[IDENTITY]).await;
        assert_eq!(line.ask(1, &[IDENTITY]).await, first, "with the same State");
        assert_ne!(line.ask(2, &[IDENTITY]).await, first);
        let again = request(&line.secret, 1, &[IDENTITY]);
        let later = line.server.handle(line.from, &again, 5 + DUPLICATE_LIFETIME).await;
        assert_ne!(later, first, "identifiers come round");
    }

    #[tokio::test]
    async fn a_conversation() {
        let line = Line::new();
        let (code, eap, state) = read(&line.ask(1, &[IDENTITY]).await.unwrap());
        assert_eq!((code, &eap[..]), (Code::ACCESS_CHALLENGE, &hex!("0108000c170500000d010000")[..]));
        // A replayed response is ignored; the right one is accepted afterwards.
        assert!(line.ask(2, &[IDENTITY, (attribute::STATE, &state)]).await.is_none());
        let mine = (attribute::EAP_MESSAGE, &hex!("0208001c 17050000 0e05000d30303031303130303030303039000000")[..]);
        let (code, eap, state) = read(&line.ask(3, &[mine, (attribute::STATE, &state)]).await.unwrap());
        assert_eq!(
            (code, &eap[..2], &eap[4..6]),
            (Code::ACCESS_CHALLENGE, &[1, 9][..], &[0x17, 1][..]),
            "unknown, not told"
        );
        let heard = (attribute::EAP_MESSAGE, &hex!("0209000817020000")[..]);
        let (code, eap, _) = read(&line.ask(4, &[heard, (attribute::STATE, &state)]).await.unwrap());
        assert_eq!((code, &eap[..]), (Code::ACCESS_REJECT, &hex!("04090004")[..]));
        let (code, eap, _) = read(&line.ask(5, &[heard, (attribute::STATE, &state)]).await.unwrap());
        assert_eq!((code, &eap[..]), (Code::ACCESS_REJECT, &hex!("04090004")[..]), "State is good for once");
    }

    #[tokio::test]
    async fn a_conversation_ends_at_its_timeout() {
        let line = Line::new();
        let (.., state) = read(&line.ask(1, &[IDENTITY]).await.unwrap());
        let late = request(&line.secret, 2, &[IDENTITY, (attribute::STATE, &state)]);
        let answer = line.server.handle(line.from, &late, 5 + SESSION_LIFETIME).await.unwrap();
        assert_eq!(read(&answer).0, Code::ACCESS_REJECT);
    }

    #[tokio::test]
    async fn conversations_have_a_limit_for_each_client_and_for_all() {
        let mut line = Line::new();
        line.server.limits = Limits { sessions: 3, sessions_of_client: 2, ..Limits::USUAL };
        let other: SocketAddr = ([127, 0, 0, 9], 1812).into();
        line.server.clients.insert(other.ip(), line.secret.clone());
        let (.., state) = read(&line.ask(1, &[IDENTITY]).await.unwrap());
        assert_eq!(read(&line.ask(2, &[IDENTITY]).await.unwrap()).0, Code::ACCESS_CHALLENGE);
        let (code, eap, _) = read(&line.ask(3, &[IDENTITY]).await.unwrap());
        assert_eq!((code, &eap[..]), (Code::ACCESS_REJECT, &hex!("04070004")[..]), "it has two");
        let ask = |identifier| request(&line.secret, identifier, &[IDENTITY]);
        let answers = [line.server.handle(other, &ask(4), 5).await, line.server.handle(other, &ask(5), 5).await];
        let codes = answers.map(|answer| read(&answer.unwrap()).0);
        assert_eq!(codes, [Code::ACCESS_CHALLENGE, Code::ACCESS_REJECT], "there are three");
        // Conversations in progress continue, whatever another client does.
        let mine = (attribute::EAP_MESSAGE, &hex!("0208001c 17050000 0e05000d30303031303130303030303039000000")[..]);
        let stolen = request(&line.secret, 6, &[mine, (attribute::STATE, &state)]);
        assert_eq!(read(&line.server.handle(other, &stolen, 5).await.unwrap()).0, Code::ACCESS_REJECT);
        let (code, ..) = read(&line.ask(7, &[mine, (attribute::STATE, &state)]).await.unwrap());
        assert_eq!(code, Code::ACCESS_CHALLENGE);
        // Places become free at their timeout.
        let late = line.server.handle(line.from, &ask(8), 5 + SESSION_LIFETIME).await.unwrap();
        assert_eq!(read(&late).0, Code::ACCESS_CHALLENGE);
        // Kept responses are limited too, for each client and for all.
        line.server.limits.requests_of_client = 1;
        assert!(line.server.handle(line.from, &ask(9), 5 + SESSION_LIFETIME).await.is_none());
        assert!(line.server.handle(other, &ask(9), 5 + SESSION_LIFETIME).await.is_some());
        line.server.limits = Limits { requests: 2, ..Limits::USUAL };
        assert!(line.server.handle(line.from, &ask(9), 5 + SESSION_LIFETIME).await.is_none());
        assert!(line.server.handle(line.from, &ask(8), 5 + SESSION_LIFETIME).await.is_some(), "answered before");
    }

    #[tokio::test]
    async fn other_beginnings() {
        let line = Line::new();
        let (code, eap, _) = read(&line.ask(1, &[(attribute::EAP_MESSAGE, &[])]).await.unwrap());
        assert_eq!((code, eap[4]), (Code::ACCESS_CHALLENGE, Type::AKA_PRIME.0), "EAP-Start");
        let (code, eap, _) = read(&line.ask(2, &[(1, b"someone"), (2, b"password")]).await.unwrap());
        assert_eq!((code, eap.len()), (Code::ACCESS_REJECT, 0), "no EAP");
    }
}
