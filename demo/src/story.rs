//! The life cycle of a profile: from the server to the card, used, and deleted.

use console::{Failure, hexadecimal, random};
use crypto::aka::{Aka, Vector};
use identities::Iccid;
use lpa::notification::{Outcome, Retry, Selection, process};
use lpa::{Checks, Decision, Euicc, HttpsClient, Offer, Options, Order, Progress, User, download};
use rsp::activation_code::ActivationCode;
use rsp::es10c::ProfileIdentifier;
use rsp::euicc_info::ExtCardResource;
use rsp::metadata::ProfileState;
use usim::{Authenticator, UmtsAnswer, Usim};

use crate::narrator::{Narrator, ensure};
use crate::operator::Operator;
use crate::stage::{self, Inserted, Server, Workshop};
use crate::{Host, Run};

/// Tells it. `watch` may put a tracer between the LPA and the card.
pub fn tour(run: Run<'_>, watch: impl FnOnce(Host) -> Result<Host, Failure>) -> Result<(), Failure> {
    let mut narrator = Narrator::new(run.surroundings.output);
    let workshop = Workshop::open(run.keep, run.surroundings)?;

    let pki = narrator.step("Mint a test PKI: certificate issuer, eUICC maker, SM-DP+", |told| workshop.mint(told))?;
    let card = narrator.step("Personalise an eUICC", |told| workshop.personalise(&pki, told))?;
    let server =
        narrator.step("Start the SM-DP+: ES9+ over HTTPS, on loopback", |told| Server::start(&pki, &workshop, told))?;
    let mut operator = Operator::with_a_new_subscriber()?;
    let activation_code = narrator.step("Make a profile for a new subscriber, and order it", |told| {
        let package = operator.profile_package()?;
        told.say(format!("ICCID {}, IMSI {}, Milenage with a fresh key", operator.iccid(), operator.imsi()));
        told.say(format!("profile package of {} bytes", package.len()));
        let code = server.order(&package)?;
        told.say(format!("activation code {code}"));
        Ok(code)
    })?;

    let title = if run.in_process { "Give the card power" } else { "Insert the card into the virtual reader" };
    let (inserted, host) = narrator.step(title, |told| {
        if run.in_process {
            Inserted::in_process(&card.image, told)
        } else {
            let slot = match run.reader {
                Some(slot) => slot.to_owned(),
                None => format!("127.0.0.1:{}", (run.surroundings.first_port)()?),
            };
            Inserted::in_reader(&card.image, &slot, told)
        }
    })?;
    let host = watch(narrator.count(host))?;

    let story = Story { operator: &mut operator, server: &server, activation_code: &activation_code };
    let host = story.tell(&mut narrator, &card, host)?;

    narrator.step("Take the card out, stop the server", |told| {
        drop(host);
        inserted.eject()?;
        server.stop();
        workshop.close(told);
        Ok(())
    })?;
    narrator.end()
}

/// The exchange between the card and the rest of the world.
struct Story<'a> {
    operator: &'a mut Operator,
    server: &'a Server,
    activation_code: &'a ActivationCode,
}

impl Story<'_> {
    fn tell(mut self, narrator: &mut Narrator, card: &stage::Card, host: Host) -> Result<Host, Failure> {
        let mut client = self.server.client()?;
        let iccid = self.operator.iccid().clone();
        let profile = || ProfileIdentifier::Iccid(iccid.clone());
        let mut euicc = narrator.step("The LPA opens the ISD-R and asks for the EID (ES10c.GetEID)", |told| {
            let mut euicc = Euicc::open(host, Options { toolkit: true, ..Options::default() })?;
            let eid = euicc.eid()?;
            ensure(eid == card.eid, || format!("the card reports EID {eid}, but was made with {}", card.eid))?;
            told.say(format!("EID {eid}"));
            Ok(euicc)
        })?;
        let free_before = free_memory(&mut euicc)?;
        self.install(narrator, &mut euicc, &mut client)?;
        list(narrator, &mut euicc, &iccid, free_before)?;

        narrator.step("Enable it; the card asks for a REFRESH and is reset (ES10c.EnableProfile)", |told| {
            euicc.enable_profile(profile(), true)?;
            let state = euicc.profile(&profile())?.and_then(|profile| profile.profile_state);
            ensure(state == Some(ProfileState::ENABLED), || "the profile is not enabled".into())?;
            told.say("enabled");
            Ok(())
        })?;

        self.be_a_phone(narrator, &mut euicc)?;

        narrator.step("Disable the profile: the USIM is gone (ES10c.DisableProfile)", |told| {
            euicc.disable_profile(profile(), true)?;
            let state = euicc.profile(&profile())?.and_then(|profile| profile.profile_state);
            ensure(state == Some(ProfileState::DISABLED), || "the profile is not disabled".into())?;
            ensure(Usim::open(euicc.isd_r().transport(), None).is_err(), || "its USIM can still be selected".into())?;
            told.say("disabled; SELECT of the USIM finds nothing");
            Ok(())
        })?;

        narrator.step("Delete the profile (ES10c.DeleteProfile)", |told| {
            euicc.delete_profile(profile())?;
            ensure(euicc.profiles()?.is_empty(), || "the profile is still listed".into())?;
            let free = free_memory(&mut euicc)?;
            told.say(format!("no profile is left, {free} bytes are free"));
            Ok(())
        })?;

        self.report(narrator, card, &mut euicc, &mut client)?;
        Ok(euicc.close())
    }

    fn install(
        &self,
        narrator: &mut Narrator,
        euicc: &mut Euicc<Host>,
        client: &mut HttpsClient,
    ) -> Result<(), Failure> {
        let Self { operator, activation_code, .. } = self;
        narrator.step("Download by activation code: authenticate, bind, load, install", |told| {
            let (mut watcher, checks) = (Watcher::default(), Checks::at(random::now()));
            let installed = download(euicc, client, &Order::from(*activation_code), &checks, &mut watcher)?;
            ensure(&installed.iccid == operator.iccid(), || format!("profile {} arrived instead", installed.iccid))?;
            ensure(installed.is_reported, || "the installation result did not reach the server".into())?;
            let (functions, pieces) = (watcher.functions.join(", "), watcher.pieces);
            told.say(format!("server: {functions}"));
            told.say(format!("eUICC: package taken in {pieces} pieces, profile in {}", installed.isdp_aid));
            Ok(())
        })
    }

    /// The subscription, as a phone uses it.
    fn be_a_phone(&mut self, narrator: &mut Narrator, euicc: &mut Euicc<Host>) -> Result<(), Failure> {
        let operator = &mut *self.operator;
        narrator.step("Be a phone: select the USIM, read EF.ICCID and EF.IMSI", |told| {
            let mut usim = Usim::open(euicc.isd_r().transport(), None)?;
            let (iccid, imsi) = (usim.iccid()?, usim.imsi()?);
            ensure(&iccid == operator.iccid(), || format!("EF.ICCID says {iccid}"))?;
            ensure(imsi.as_str() == operator.imsi(), || format!("EF.IMSI says {imsi}"))?;
            told.say(format!("ICCID {iccid}, IMSI {imsi}: the subscriber's"));
            Ok(())
        })?;

        let first = operator.challenge();
        narrator.step("AUTHENTICATE: card and network prove that they know the same key", |told| {
            let mut usim = Usim::open(euicc.isd_r().transport(), None)?;
            let UmtsAnswer::Keys { res, ck, ik } = &usim.umts(&first.rand, &autn(&first)?)? else {
                return Err(Failure::because("the card asks to resynchronise at a fresh challenge"));
            };
            ensure(**res == *first.xres, || format!("RES is {}", hexadecimal::whole(res)))?;
            ensure(ck[..] == *first.ck && ik[..] == *first.ik, || "CK or IK differ from the network's".into())?;
            told.say(format!("RES {}: the one the network expects; CK and IK are equal", hexadecimal::whole(res)));
            Ok(())
        })?;
        self.replay(narrator, euicc, &first)?;
        self.deceive(narrator, euicc)
    }

    fn replay(&mut self, narrator: &mut Narrator, euicc: &mut Euicc<Host>, first: &Vector) -> Result<(), Failure> {
        let operator = &mut *self.operator;
        narrator.step("Replay the challenge: the card answers with AUTS, the network resynchronises", |told| {
            let mut usim = Usim::open(euicc.isd_r().transport(), None)?;
            let UmtsAnswer::Resynchronise(auts) = &usim.umts(&first.rand, &autn(first)?)? else {
                return Err(Failure::because("the card accepted a challenge twice"));
            };
            let sqn = operator.milenage().resynchronise(&first.rand, auts);
            let sqn = sqn.ok_or_else(|| Failure::because("the MAC in AUTS is wrong"))?;
            ensure(sqn == operator.last_sqn(), || format!("AUTS reveals {sqn:?}, not the SQN used last"))?;
            told.say(format!("AUTS {}: MAC right, SQN {}", hexadecimal::whole(auts), u64::from(sqn)));
            operator.continue_from(sqn);
            let next = operator.challenge();
            let answer = usim.umts(&next.rand, &autn(&next)?)?;
            let accepted = matches!(&answer, UmtsAnswer::Keys { res, .. } if **res == *next.xres);
            ensure(accepted, || "the challenge after the resynchronisation is not accepted".into())?;
            told.say("the next challenge is accepted");
            Ok(())
        })
    }

    fn deceive(&mut self, narrator: &mut Narrator, euicc: &mut Euicc<Host>) -> Result<(), Failure> {
        let operator = &mut *self.operator;
        narrator.step("A false network, one bit of its MAC wrong, is detected", |told| {
            let mut false_one = operator.challenge();
            if let Some(last) = false_one.autn.last_mut() {
                *last ^= 1;
            }
            let autn = autn(&false_one)?;
            let answer = Usim::open(euicc.isd_r().transport(), None)?.umts(&false_one.rand, &autn)?;
            ensure(answer == UmtsAnswer::WrongMac, || format!("the card answered {answer:?}"))?;
            told.say("9862, authentication error, incorrect MAC");
            Ok(())
        })
    }

    fn report(
        &self,
        narrator: &mut Narrator,
        card: &stage::Card,
        euicc: &mut Euicc<Host>,
        client: &mut HttpsClient,
    ) -> Result<(), Failure> {
        let Self { operator, server, .. } = self;
        narrator.step("Report it: notifications to the SM-DP+ (ES9+.HandleNotification)", |told| {
            let retry = Retry::default();
            let deliveries = process(euicc, client, &Selection::All, true, retry, &mut Watcher::default())?;
            for delivery in &deliveries {
                let event = delivery.metadata.profile_management_operation;
                ensure(delivery.outcome == Outcome::Removed, || format!("{event}: {:?}", delivery.outcome))?;
            }
            told.say(format!("{} delivered besides the installation result, none left on the eUICC", deliveries.len()));
            ensure(euicc.notifications()?.is_empty(), || "notifications are left on the eUICC".into())?;
            server.verify_notifications(operator.iccid(), &card.eid, told)
        })
    }
}

fn list(narrator: &mut Narrator, euicc: &mut Euicc<Host>, iccid: &Iccid, free_before: u32) -> Result<(), Failure> {
    narrator.step("List the profiles (ES10c.GetProfilesInfo)", |told| {
        let [only] = euicc
            .profiles()?
            .try_into()
            .map_err(|all: Vec<_>| Failure::because(format!("{} profiles are listed, one was installed", all.len())))?;
        let name = only.profile_name.as_deref().unwrap_or_default();
        ensure(only.profile_state == Some(ProfileState::DISABLED), || "the new profile is not disabled".into())?;
        told.say(format!("{iccid} “{name}”, disabled"));
        let free = free_memory(euicc)?;
        ensure(free < free_before, || "the profile takes no memory".into())?;
        told.say(format!("it takes {} bytes, {free} are free", free_before - free));
        Ok(())
    })
}

fn autn(vector: &Vector) -> Result<[u8; 16], Failure> {
    vector.autn.as_slice().try_into().map_err(|_| Failure::because("AUTN has another length than 16 octets"))
}

fn free_memory(euicc: &mut Euicc<Host>) -> Result<u32, Failure> {
    let info = euicc.info2()?;
    let resource = ExtCardResource::parse(&info.ext_card_resource);
    Ok(resource.ok_or_else(|| Failure::because("extCardResource is damaged"))?.free_non_volatile_memory)
}

/// A user who agrees to everything and records progress.
#[derive(Default)]
struct Watcher {
    functions: Vec<String>,
    pieces: usize,
}

impl User for Watcher {
    fn progress(&mut self, event: Progress<'_>, _: u64) {
        match event {
            Progress::Server { function, .. } => self.functions.push(function.to_owned()),
            Progress::Loaded { of, .. } => self.pieces = of,
            _ => {}
        }
    }

    fn consent(&mut self, _: Offer<'_>) -> Decision {
        Decision::Accept
    }
}
