//! The demo's environment: a directory, a card in a reader or in this process, an SM-DP+.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use apdu::{InProcess, Transport};
use card::entropy::ChaCha;
use card::personalise::{Euicc, mint_pki};
use database::seal::MasterKey;
use identities::{Eid, Iccid};
use lpa::{HttpsClient, Trust};
use reader_bridge::pcsc_reader::{Reader, list_readers};
use reader_bridge::vpcd::{self, Link};
use reader_bridge::{PcscReader, ReaderError};
use rsp::activation_code::ActivationCode;
use rsp::certificate::Role;
use rsp::metadata::{NotificationEvent, ProfileClass};
use smdp::order::{self, OrderRequest, ProfileSelector};
use test_pki::Pki;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::Surroundings;
use crate::narrator::{Told, ensure};
use console::file::create_private;
use console::{AtPath, Failure, hexadecimal, random};
use smdp::profile::Offered;

/// How long pcscd may take to notice a card.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The directory of card, keys and database, and whether it is kept.
pub(super) struct Workshop {
    directory: PathBuf,
    temporary: Option<tempfile::TempDir>,
    surroundings: Surroundings,
}

/// A card that was made.
pub(super) struct Card {
    pub(super) image: PathBuf,
    pub(super) eid: Eid,
}

impl Workshop {
    /// Opens a new directory: the one to keep, or a temporary one.
    pub(super) fn open(keep: Option<PathBuf>, surroundings: Surroundings) -> Result<Self, Failure> {
        if let Some(directory) = keep {
            if directory.exists() {
                return Err(Failure::because(format!("{} exists already; name a new one", directory.display())));
            }
            create_private(&directory)?;
            return Ok(Self { directory, temporary: None, surroundings });
        }
        let temporary = tempfile::Builder::new().prefix("vuicc-demo-").tempdir();
        let temporary = temporary.at("make a directory in", &std::env::temp_dir())?;
        Ok(Self { directory: temporary.path().to_owned(), temporary: Some(temporary), surroundings })
    }

    /// The path.
    #[cfg(feature = "operator")]
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What the program around the demo provides.
    #[cfg(feature = "operator")]
    pub(super) const fn surroundings(&self) -> Surroundings {
        self.surroundings
    }

    /// The master key in this file of the directory, and made there.
    pub(super) fn master_key(&self, name: &str) -> Result<Arc<MasterKey>, Failure> {
        Ok(Arc::new((self.surroundings.master_key)(&self.directory.join(name))?))
    }

    pub(super) fn mint(&self, told: &mut Told) -> Result<Pki, Failure> {
        let pki = mint_pki(None, random::now(), &mut ChaCha::from_operating_system()?)?;
        (self.surroundings.write_pki)(&pki, &self.directory.join("pki"))?;
        told.say(format!("CI {}", pki.trust_anchor()?.subject_key_identifier));
        Ok(pki)
    }

    pub(super) fn personalise(&self, pki: &Pki, told: &mut Told) -> Result<Card, Failure> {
        let image = self.directory.join("card.img");
        let description = Euicc::new(pki.clone(), random::now());
        let new = card::personalise::euicc(&description, &mut ChaCha::from_operating_system()?)?;
        new.save(&image)?;
        let eid = new.eid.ok_or_else(|| Failure::because("the new card has no EID"))?;
        let certificate = pki.get(Role::Eum)?.certificate();
        let maker = certificate.common_name().unwrap_or("the EUM");
        told.say(format!("EID {eid}, certified by {maker}, {} bytes of memory", description.card.non_volatile_memory));
        Ok(Card { image, eid })
    }

    /// Prints where everything is, or removes it.
    pub(super) fn close(self, told: &mut Told) {
        if self.temporary.is_none() {
            let directory = self.directory.display();
            told.say(format!("continue by hand: vuicc --state {directory} card show {directory}/card.img"));
        }
    }
}

/// A card where a host can reach it.
pub(super) struct Inserted {
    slot: Option<Slot>,
}

/// The thread of a card in a reader, and its stop signal.
struct Slot {
    stop: oneshot::Sender<()>,
    card: JoinHandle<Result<(), Failure>>,
    /// Its reader's name in the PC/SC service, once the card was seen there.
    reader: Option<String>,
}

impl Inserted {
    /// In this process.
    pub(super) fn in_process(image: &Path, told: &mut Told) -> Result<(Self, Box<dyn Transport>), Failure> {
        let host = InProcess::connect(card::open(image)?);
        told.say(format!("ATR {}", hexadecimal::whole(host.atr())));
        Ok((Self { slot: None }, Box::new(host)))
    }

    /// In the virtual reader, on its own thread; the host connects over PC/SC.
    pub(super) fn in_reader(image: &Path, slot: &str, told: &mut Told) -> Result<(Self, Box<dyn Transport>), Failure> {
        let without = |error: ReaderError| {
            Failure::because(format!("{error}; or use scripts/demo, which starts its own, or --in-process"))
        };
        let empty: Vec<_> =
            list_readers().map_err(without)?.into_iter().filter(|reader| reader.card.is_none()).collect();
        let mut emulated = card::open(image)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, heard) = mpsc::channel();
        let address = slot.to_owned();
        let card_side = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let stop = async {
                // An error means that the demo is over too.
                let _ = stopped.await;
            };
            let on_link = |link: Link<'_>| {
                let trouble = match &link {
                    Link::Waiting { cause, .. } => Some(format!("nobody listens at {address}: {cause}")),
                    Link::Unanswered | Link::Reinserting { .. } => Some(link.to_string()),
                    Link::Inserted | Link::Powered | Link::Ejected => None,
                };
                // The receiver is gone once the card was found.
                let _ = tell.send(trouble);
            };
            runtime.block_on(vpcd::serve(&mut emulated, &address, stop, on_link));
            Ok(())
        });
        let mut slot_taken = Slot { stop, card: card_side, reader: None };

        let (name, host) = seen_in_a_reader(&empty, &heard, told)?;
        slot_taken.reader = Some(name);
        Ok((Self { slot: Some(slot_taken) }, host))
    }

    /// Takes the card out, and waits until the PC/SC service has noticed, so that another can be inserted.
    pub(super) fn eject(self) -> Result<(), Failure> {
        let Some(Slot { stop, card, reader }) = self.slot else { return Ok(()) };
        // An error means that the card is out already.
        let _ = stop.send(());
        card.join().map_err(|_| Failure::because("the card stopped unexpectedly"))??;
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline
            && list_readers()?.iter().any(|one| Some(&one.name) == reader.as_ref() && one.card.is_some())
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Waits until the card is seen in one of the readers that were empty, and connects to it.
fn seen_in_a_reader(
    empty: &[Reader],
    heard: &mpsc::Receiver<Option<String>>,
    told: &mut Told,
) -> Result<(String, Box<dyn Transport>), Failure> {
    let deadline = Instant::now() + TIMEOUT;
    let mut trouble = None;
    loop {
        if let Ok(cause) = heard.recv_timeout(Duration::from_millis(20)) {
            trouble = cause;
        }
        let seen = list_readers()?.into_iter().find(|reader| {
            reader.card.as_ref().is_some_and(|atr| !atr.is_empty()) && empty.iter().any(|one| one.name == reader.name)
        });
        if let Some(reader) = seen {
            let host = PcscReader::connect(&reader.name)?;
            told.say(format!("{}: ATR {}, {}", reader.name, hexadecimal::whole(host.atr()), host.protocol()));
            return Ok((reader.name, Box::new(host)));
        }
        if Instant::now() > deadline {
            let why = trouble.unwrap_or_else(|| "it appears in no reader".into());
            return Err(Failure::because(format!("{why}; is vsmartcard-vpcd installed, and its slot empty?")));
        }
    }
}

/// The SM-DP+, on its own thread.
pub(super) struct Server {
    runtime: Runtime,
    smdp: smdp::Server,
    ci: Vec<u8>,
}

impl Server {
    pub(super) fn start(pki: &Pki, workshop: &Workshop, told: &mut Told) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (database, master_key) = workshop.surroundings.names.smdp_files;
        let mut config = smdp::Config::from_pki(pki)?;
        config.database = workshop.directory.join(database).to_string_lossy().into_owned();
        config.master_key = workshop.master_key(master_key)?;
        let server = runtime.block_on(smdp::serve(config))?;
        told.say(format!("https://{}", server.address()));
        Ok(Self { runtime, smdp: server, ci: pki.get(Role::Ci)?.der().to_vec() })
    }

    /// Adds a profile and orders it.
    pub(super) fn order(&self, package: &[u8]) -> Result<ActivationCode, Failure> {
        let (store, address) = (self.smdp.store(), self.smdp.address());
        let offered = Offered { name: "Demo", provider: "vuicc", class: ProfileClass::OPERATIONAL };
        let profile = offered.profile(package, address, &[], random::now())?;
        let request = OrderRequest::new(ProfileSelector::Iccid(profile.iccid().clone()));
        self.runtime.block_on(async {
            store.add_profiles(&[(profile, package)]).await?;
            let profile = order::order(store, request, &mut random::fill, random::now()).await?;
            Ok(order::activation_code(&profile, address))
        })
    }

    /// An LPA's client that trusts this PKI.
    pub(super) fn client(&self) -> Result<HttpsClient, Failure> {
        Ok(HttpsClient::new(&Trust::Cis(vec![self.ci.clone()]), &[])?)
    }

    /// Checks that the server received every notification about the profile, from this card, in order, and trusts it.
    pub(super) fn verify_notifications(&self, iccid: &Iccid, eid: &Eid, told: &mut Told) -> Result<(), Failure> {
        const EXPECTED: [NotificationEvent; 4] = [
            NotificationEvent::INSTALL,
            NotificationEvent::ENABLE,
            NotificationEvent::DISABLE,
            NotificationEvent::DELETE,
        ];
        let received = self.runtime.block_on(self.smdp.store().notifications())?;
        let events: Vec<_> = received.iter().map(|notification| notification.event).collect();
        ensure(events == EXPECTED, || format!("the server has {events:?}"))?;
        for notification in &received {
            let (event, number) = (notification.event, notification.seq_number);
            if let Some(reason) = &notification.distrusted {
                return Err(Failure::because(format!("the server rejects {event}: {reason}")));
            }
            ensure(notification.iccid.as_ref() == Some(iccid), || format!("{event} is about another profile"))?;
            ensure(notification.eid.as_ref() == Some(eid), || format!("{event} is from another eUICC"))?;
            if event == NotificationEvent::INSTALL {
                let result = notification.result.as_deref();
                ensure(result == Some("success"), || format!("the installation result is {result:?}"))?;
            }
            told.say(format!("server: {number} {event}, signature verified"));
        }
        Ok(())
    }

    pub(super) fn stop(self) {
        self.runtime.block_on(self.smdp.shutdown());
    }
}
