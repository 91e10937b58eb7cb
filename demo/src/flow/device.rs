//! The devices of a flow: a phone, driven by this thread, and a watch on its own thread.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use apdu::Transport;
use clap::ValueEnum;
use device::eap::{self, Method};
use device::entitlement::{App, Client, Settings, Subscriber, Terminal};
use device::event::{Event, Party, What};
use device::flow::{FlowError, Pace};
use device::http::HttpsClient;
use device::inbox::Place as MessagePlace;
use device::mt::{Attachment, MtClient, Received};
use device::primary::{Primary, SubscriptionState};
use device::secondary::{Card, Owner, Removal, Secondary};
use device::store::Volatile;
use device::usim::{Authenticator, Usim};
use identities::{Eid, Iccid, Imsi, Msisdn};
use lpa::{Decision, Euicc, Offer, Options};
use pairing::bluetooth::{Address, Bluetooth, Keyring, Radio};
use pairing::lan::{Interfaces, Lan};
use pairing::{
    Bonds, Carrier, Channel, Fingerprint, Gateway, Identity, IsWanted, Link, PairingError, Place, Question, Tunnel,
    in_process, meet,
};
use sms::Deliver;

use super::no_codes;
use super::trace::{Teller, Trace};
use super::user::{Browser, Codes, User, code_in};
use super::world::World;
use crate::narrator::{Told, ensure};
use console::Failure;
use console::failure::line;
use console::random;

/// A card, in a reader or in this process.
pub(super) type Host = Box<dyn Transport>;

/// Longest delivery time of a message.
const MESSAGE: Duration = Duration::from_secs(20);
/// How long one device waits for the other.
pub(super) const TIMEOUT: Duration = Duration::from_mins(2);
/// How often an idle watch checks whether its user wants something.
const LOOK: Duration = Duration::from_millis(50);

/// How the user authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Proof {
    /// The card, by EAP-AKA
    Aka,
    /// The card, by EAP-AKA'
    AkaPrime,
    /// The card, by EAP-SIM
    Sim,
    /// A code by SMS
    Code,
}

impl Proof {
    /// The method of EAP, if it is the card that proves it.
    pub const fn method(self) -> Option<Method> {
        match self {
            Self::Aka => Some(Method::Aka),
            Self::AkaPrime => Some(Method::AkaPrime),
            Self::Sim => Some(Method::Sim),
            Self::Code => None,
        }
    }
}

/// The transport between the two devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Pairing {
    /// TLS on loopback, with digits compared
    Lan,
    /// Bluetooth LE, with digits compared; --hci names the two controllers
    Bluetooth,
    /// Queues inside this process
    InProcess,
}

/// The same, with its parameters.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Lan,
    /// Controllers of phone and watch.
    Bluetooth([SocketAddr; 2]),
    InProcess,
}

/// The identity a card reports.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    pub(super) iccid: Iccid,
    pub(super) imsi: Imsi,
    pub(super) msisdn: Option<Msisdn>,
    mnc_length: usize,
}

impl Numbers {
    fn of<T: Transport>(usim: &mut Usim<T>) -> Result<Self, Failure> {
        let (iccid, imsi, mnc_length) = (usim.iccid()?, usim.imsi()?, usim.mnc_length()?);
        Ok(Self { iccid, imsi, mnc_length, msisdn: usim.msisdn()? })
    }

    /// The number, which every card here has.
    pub(super) fn number(&self) -> Result<&Msisdn, Failure> {
        self.msisdn.as_ref().ok_or_else(|| Failure::because("the card has no number"))
    }
}

fn terminal(name: &str) -> Terminal {
    Terminal {
        // A made-up IMEI from the test range.
        id: format!("00101{}", random::digits(10)),
        vendor: "vuicc".into(),
        model: name.into(),
        software: env!("CARGO_PKG_VERSION").into(),
        name: name.into(),
    }
}

/// Messages to one subscription, onto its card.
pub(super) struct Inbox {
    http: HttpsClient,
    base: String,
    attachment: Option<Attachment>,
    trace: Trace,
    teller: Teller,
    party: Party,
}

impl Inbox {
    fn new(world: &World, teller: Teller, party: Party) -> Result<Self, Failure> {
        let (http, base) = (world.https()?, world.endpoint());
        Ok(Self { http, base, attachment: None, trace: world.trace.clone(), teller, party })
    }

    /// Messages received within the timeout.
    fn receive<T: Transport>(&mut self, usim: &mut Usim<T>, timeout: Duration) -> Result<Vec<Received>, Failure> {
        let (mut fill, mut tell) = (random::fill, self.trace.teller(self.teller));
        let mut client = MtClient::new(&mut self.http, &self.base, &mut fill, &mut tell, self.party);
        let attachment = match &self.attachment {
            Some(attachment) => attachment.clone(),
            None => self.attachment.insert(client.attach(usim)?).clone(),
        };
        Ok(client.receive(&attachment, timeout, usim)?)
    }

    /// The code from the SMS, read from EF.SMS as the user would.
    pub(super) fn code<T: Transport>(&mut self, usim: &mut Usim<T>) -> Result<String, Failure> {
        let end = Instant::now() + MESSAGE;
        while Instant::now() < end {
            for received in self.receive(usim, Duration::from_secs(2))? {
                let Received::Sms { place: MessagePlace::Card(record), .. } = received else { continue };
                let stored = usim.messages()?.into_iter().find(|(number, _)| *number == record);
                let stored = stored.ok_or_else(|| Failure::because(format!("record {record} of EF.SMS is empty")))?;
                let text = Deliver::decode(&stored.1.tpdu).ok().and_then(|deliver| deliver.data.as_text());
                if let Some(code) = text.as_deref().and_then(code_in) {
                    usim.delete_sms(record)?;
                    return Ok(code);
                }
            }
        }
        Err(Failure::because("no code arrived by SMS"))
    }

    /// Waits until the operator asks the device to refresh its configuration.
    fn configuration_wanted<T: Transport>(&mut self, usim: &mut Usim<T>) -> Result<(), Failure> {
        let end = Instant::now() + MESSAGE;
        while Instant::now() < end {
            for received in self.receive(usim, Duration::from_secs(2))? {
                if matches!(&received, Received::ConfigurationWanted(apps) if apps.contains(&App::Primary)) {
                    return Ok(());
                }
            }
        }
        Err(Failure::because("the operator did not notify the old device"))
    }
}

/// A device that talks to the operator.
pub(super) struct Phone<'w> {
    world: &'w World,
    pub(super) host: Host,
    terminal: Terminal,
    store: Volatile,
    http: HttpsClient,
    inbox: Inbox,
    /// Which party it is in the chart.
    party: Party,
    /// The user's decision on the operator's pages.
    pub(super) decisions: VecDeque<bool>,
}

impl<'w> Phone<'w> {
    /// A phone with this card.
    pub(super) fn new(world: &'w World, host: Host, name: &str, party: Party) -> Result<Self, Failure> {
        Ok(Self {
            world,
            host,
            terminal: terminal(name),
            store: Volatile::default(),
            http: world.https()?,
            inbox: Inbox::new(world, Teller::Primary, party)?,
            party,
            decisions: VecDeque::new(),
        })
    }

    /// IMEI of the slot its second card is in.
    pub(super) fn second_slot(&self) -> String {
        format!("{}-2", self.terminal.id)
    }

    /// The identity its card reports.
    pub(super) fn numbers(&mut self) -> Result<Numbers, Failure> {
        Numbers::of(&mut Usim::open(&mut self.host, None)?)
    }

    /// The code sent to this phone.
    pub(super) fn code(&mut self) -> Result<String, Failure> {
        self.inbox.code(&mut Usim::open(&mut self.host, None)?)
    }

    /// Acts as the primary device, authenticated by its card or by a code sent to it. `codes` reads codes sent to
    /// another device.
    pub(super) fn act<R>(
        &mut self,
        proof: Proof,
        codes: Codes<'_>,
        act: impl FnOnce(&mut Primary<'_, '_>) -> Result<R, FlowError>,
    ) -> Result<R, Failure> {
        let mut usim = Usim::open(&mut self.host, None)?;
        let numbers = Numbers::of(&mut usim)?;
        let identity = proof.method().map(|method| eap::identity(method, &numbers.imsi, numbers.mnc_length));
        let with_code = identity.is_none();
        let inbox = &mut self.inbox;
        let (mut from_card, mut none) = (None, no_codes);
        let (card, own_codes) = if with_code {
            (None, from_card.insert(|| inbox.code(&mut usim)) as Codes<'_>)
        } else {
            (Some(&mut usim as &mut dyn Authenticator), &mut none as Codes<'_>)
        };
        let subscriber = Subscriber {
            imsi: Some(numbers.imsi),
            identity,
            card,
            msisdn: numbers.msisdn,
            eid: None,
            temporary_token: None,
        };
        let (store, decisions) = (&mut self.store, &mut self.decisions);
        let browser = Browser::new(self.world.https()?);
        let mut user = User { browser, decisions, own_codes, other_codes: codes, trouble: None };
        let tell = renamed(self.world.trace.teller(Teller::Primary), self.party);
        as_primary(self.world, &mut self.http, store, &self.terminal, subscriber, &mut user, tell, act)
    }

    /// Acts as a new device, identified only by its eUICC and the number it takes over.
    pub(super) fn act_as_new<R>(
        &mut self,
        number: &Msisdn,
        eid: Eid,
        codes: Codes<'_>,
        act: impl FnOnce(&mut Primary<'_, '_>, &mut Secondary<'_, &mut Host>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let subscriber = Subscriber {
            imsi: None,
            identity: None,
            card: None,
            msisdn: Some(number.clone()),
            eid: Some(eid),
            temporary_token: None,
        };
        let (store, decisions) = (&mut self.store, &mut self.decisions);
        let (browser, mut none) = (Browser::new(self.world.https()?), no_codes);
        let mut user = User { browser, decisions, own_codes: codes, other_codes: &mut none, trouble: None };
        let tell = self.world.trace.teller(Teller::Primary);
        let (world, party, terminal) = (self.world, self.party, &self.terminal);
        let host = &mut self.host;
        let mut inner = None;
        as_primary(world, &mut self.http, store, terminal, subscriber, &mut user, tell, |primary| {
            inner = Some(with_euicc(world, host, terminal, party, |own| act(primary, own)));
            Ok(())
        })?;
        inner.unwrap_or_else(|| Err(Failure::because("nothing happened")))
    }

    /// Acts on the eUICC in this phone.
    pub(super) fn with_euicc<R>(
        &mut self,
        act: impl FnOnce(&mut Secondary<'_, &mut Host>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        with_euicc(self.world, &mut self.host, &self.terminal, self.party, act)
    }

    /// Waits until the operator says that this card is out of use, and obeys. A profile is disabled, and deleted if the
    /// user wants `delete`; returns whether it was, or `None` for a card without profiles.
    pub(super) fn obey(&mut self, delete: bool) -> Result<Option<bool>, Failure> {
        let iccid = {
            let mut usim = Usim::open(&mut self.host, None)?;
            self.inbox.configuration_wanted(&mut usim)?;
            usim.iccid()?
        };
        let obeyed = self.act(Proof::Aka, &mut no_codes, |primary| primary.obey(&iccid))? == SubscriptionState::Ended;
        ensure(obeyed && self.store.0.disabled(&iccid).is_some(), || {
            "the old device was not told that its card is out of use".into()
        })?;
        match Euicc::open(&mut self.host, Options::default()) {
            Ok(euicc) => drop(euicc.close()),
            Err(_) => return Ok(None),
        }
        self.with_euicc(|euicc| Ok(Some(euicc.retire(&iccid, &mut |_| delete)?)))
    }
}

/// Reports a device's events as its party in this flow.
fn renamed(mut tell: impl FnMut(Event), party: Party) -> impl FnMut(Event) {
    move |event| {
        let named = |other| if other == Party::Primary { party } else { other };
        tell(Event::new(named(event.from), named(event.to), event.what));
    }
}

#[expect(clippy::too_many_arguments, reason = "parts of one phone, borrowed apart")]
fn as_primary<R>(
    world: &World,
    http: &mut HttpsClient,
    store: &mut Volatile,
    terminal: &Terminal,
    subscriber: Subscriber<'_>,
    user: &mut User<'_>,
    mut tell: impl FnMut(Event),
    act: impl FnOnce(&mut Primary<'_, '_>) -> Result<R, FlowError>,
) -> Result<R, Failure> {
    let outcome = {
        let mut primary = Primary {
            client: Client {
                http,
                store,
                user: &mut *user,
                settings: Settings::new(&world.endpoint(), terminal.clone()),
                random: &mut random::fill,
                now: random::now(),
                tell: &mut tell,
            },
            subscriber,
            // The operator's minimum delay is meant for people, not for a demo.
            pace: Pace {
                attempts: 200,
                pause: LOOK,
                longest: Duration::MAX,
                begins: &mut |_| {},
                wait: &mut |pause: Duration| std::thread::sleep(pause.min(Duration::from_millis(200))),
            },
        };
        act(&mut primary)
    };
    match (outcome, user.trouble.take()) {
        (_, Some(trouble)) => Err(trouble),
        (outcome, None) => Ok(outcome?),
    }
}

fn with_euicc<R>(
    world: &World,
    host: &mut Host,
    terminal: &Terminal,
    party: Party,
    act: impl FnOnce(&mut Secondary<'_, &mut Host>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let (mut servers, mut user, mut memory) = (world.servers(), Quiet, Volatile::default());
    let mut tell = world.trace.teller(Teller::Primary);
    let mut own = Secondary {
        card: Card::Euicc(Box::new(Euicc::open(host, Options::default())?)),
        pin: None,
        terminal: terminal.clone(),
        servers: &mut servers,
        user: &mut user,
        memory: &mut memory,
        primary: None,
        tell: &mut tell,
        explain: line,
        party,
    };
    let outcome = act(&mut own);
    if let Card::Euicc(euicc) = own.card {
        euicc.close();
    }
    outcome
}

/// Agrees to downloads and to removals of what the primary installed, and shows nothing: the trace does.
struct Quiet;

impl Owner for Quiet {
    fn remove(&mut self, removal: &Removal) -> bool {
        removal.came_from_primary
    }
}

impl lpa::User for Quiet {
    fn consent(&mut self, _: Offer<'_>) -> Decision {
        Decision::Accept
    }
}

/// A device that is paired with the phone, on its own thread.
pub(super) struct Watch {
    /// The phone's end of their session, through which the watch may reach the network.
    pub(super) channel: Gateway<Link>,
    wishes: mpsc::Sender<mpsc::Sender<Result<String, String>>>,
    thread: JoinHandle<Result<Host, Failure>>,
    /// The phone's transport. It is needed until the session has ended.
    carrier: Option<Box<dyn Carrier>>,
}

impl Watch {
    /// Pairs a watch with this card; both users compare digits, if there are any.
    pub(super) fn pair(world: &World, mut host: Host, way: Way, told: &mut Told) -> Result<Self, Failure> {
        let (wishes, box_of_wishes) = mpsc::channel();
        let inbox = Inbox::new(world, Teller::Secondary, Party::Secondary)?;
        let (trace, servers) = (world.trace.clone(), world.servers());
        let eid = if matches!(way, Way::Bluetooth(_)) { eid_of(&mut host) } else { None };
        let life = move |channel: Link, phone| live(host, channel, phone, inbox, &trace, servers, &box_of_wishes);
        let (channel, carrier, thread) = match way {
            Way::InProcess => {
                let (phone, watch) = in_process();
                let thread = std::thread::spawn(move || life(watch, Fingerprint::of(b"the phone of this process")));
                (phone, None, thread)
            }
            Way::Lan => {
                let lan = |name: &str| {
                    let identity = Identity::generate()?;
                    Ok::<_, Failure>(Lan::new(identity, name.into(), Bonds::default(), Interfaces::Loopback))
                };
                let (phone, mut watch) = (lan("Phone")?, lan("Watch")?);
                let address = watch.listen(([127, 0, 0, 1], 0).into())?;
                let (place, what) = (Place::Lan(address), format!("TLS 1.3 at {address}"));
                over(Box::new(phone), Box::new(watch), Some(place), &what, life, told)?
            }
            Way::Bluetooth([phone, watch]) => {
                let radio = |name: &str, hci| {
                    let radio = Radio { hci, address: Address::of(&Identity::generate()?) };
                    Ok::<_, Failure>(Bluetooth::new(radio, name.into(), Keyring::default()))
                };
                let (phone, watch) = (radio("Phone", phone)?, radio("Watch", watch)?.with_eid(eid));
                let what = format!("found by its service; LE Secure Connections with {}", watch.address());
                over(Box::new(phone), Box::new(watch), None, &what, life, told)?
            }
        };
        world.trace.device(Party::Primary, Party::Secondary, What::Paired { name: "Watch".into() });
        Ok(Self { channel: Gateway::new(channel), wishes, thread, carrier })
    }

    /// Reads the code that is sent to the watch.
    pub(super) fn codes(&self) -> impl FnMut() -> Result<String, Failure> + use<> {
        let wishes = self.wishes.clone();
        move || {
            let (answer, answered) = mpsc::channel();
            let gone = || Failure::because("the watch is gone");
            wishes.send(answer).map_err(|_| gone())?;
            let code = answered.recv_timeout(MESSAGE + MESSAGE).map_err(|_| gone())?;
            code.map_err(Failure::because)
        }
    }

    /// Ends the session; returns the watch's card.
    pub(super) fn leave(self) -> Result<Host, Failure> {
        drop((self.channel, self.wishes));
        let host = self.thread.join().map_err(|_| Failure::because("the watch stopped unexpectedly"))?;
        drop(self.carrier);
        host
    }
}

/// The EID of a card that has one.
fn eid_of(host: &mut Host) -> Option<Eid> {
    let mut euicc = Euicc::open(host, Options::default()).ok()?;
    let eid = euicc.eid().ok();
    euicc.close();
    eid
}

/// A watch on its own thread, and the phone's end of the session.
type Pair = (Link, Option<Box<dyn Carrier>>, JoinHandle<Result<Host, Failure>>);

/// Pairs over a transport. Each user reads the digits to the other; both have to be equal.
fn over(
    mut phone: Box<dyn Carrier>,
    mut watch: Box<dyn Carrier + Send>,
    to: Option<Place>,
    what: &str,
    life: impl FnOnce(Link, Fingerprint) -> Result<Host, Failure> + Send + 'static,
    told: &mut Told,
) -> Result<Pair, Failure> {
    let (to_phone, from_watch) = mpsc::channel();
    let (to_watch, from_phone) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut compare = |question: &Question, _: IsWanted<'_>| same_digits(question, &to_phone, &from_phone);
        let paired = watch.accept(Some(&mut compare), TIMEOUT)?;
        ensure(paired.fresh, || "the watch knew the phone already".into())?;
        life(paired.channel, paired.device)
    });
    let mut digits = String::new();
    let mut compare = |question: &Question, _: IsWanted<'_>| {
        digits = question.digits.to_string();
        same_digits(question, &to_watch, &from_watch)
    };
    let paired = meet(&mut *phone, to, Some(&mut compare), TIMEOUT)?;
    ensure(paired.fresh && paired.name == "Watch", || format!("the phone paired with “{}”", paired.name))?;
    told.say(format!("{what}; both show {digits}, both users say yes"));
    Ok((paired.channel, Some(phone), thread))
}

fn same_digits(question: &Question, to: &mpsc::Sender<String>, from: &mpsc::Receiver<String>) -> bool {
    let digits = question.digits.to_string();
    to.send(digits.clone()).is_ok() && from.recv_timeout(MESSAGE).is_ok_and(|other| other == digits)
}

/// The watch: serves the phone's requests, and lets its user read messages.
fn live(
    host: Host,
    channel: Link,
    phone: Fingerprint,
    mut inbox: Inbox,
    trace: &Trace,
    mut servers: device::secondary::HttpsServers,
    wished: &mpsc::Receiver<mpsc::Sender<Result<String, String>>>,
) -> Result<Host, Failure> {
    let (mut user, mut memory, mut tell) = (Quiet, Volatile::default(), trace.teller(Teller::Secondary));
    let mut channel = Tunnel::open(channel)?;
    servers.tunnel = Some(channel.url());
    let mut watch = Secondary {
        card: open(host)?,
        pin: None,
        terminal: terminal("Watch"),
        servers: &mut servers,
        user: &mut user,
        memory: &mut memory,
        primary: Some(phone),
        tell: &mut tell,
        explain: line,
        party: Party::Secondary,
    };
    loop {
        match channel.receive(LOOK) {
            Ok(message) => watch.handle(&mut channel, message)?,
            Err(PairingError::Timeout(_)) => {
                for answer in wished.try_iter() {
                    let code = match &mut watch.card {
                        Card::Uicc(usim) => inbox.code(usim),
                        Card::Euicc(euicc) => Usim::open(euicc.isd_r().transport(), None)
                            .map_err(Failure::from)
                            .and_then(|mut usim| inbox.code(&mut usim)),
                    };
                    let code = code.map_err(|failure| match failure {
                        Failure::Because(cause) => cause.to_string(),
                        Failure::Told(_) => "no code".into(),
                    });
                    // The receiver may be gone.
                    let _ = answer.send(code);
                }
            }
            Err(PairingError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(match watch.card {
        Card::Euicc(euicc) => euicc.close(),
        Card::Uicc(usim) => usim.close(),
    })
}

/// An eUICC if it is one, otherwise a card with a USIM.
fn open(mut host: Host) -> Result<Card<Host>, Failure> {
    match Euicc::open(&mut host, Options::default()) {
        Ok(euicc) => {
            euicc.close();
            Ok(Card::Euicc(Box::new(Euicc::open(host, Options::default())?)))
        }
        Err(_) => Ok(Card::Uicc(Usim::open(host, None)?)),
    }
}
