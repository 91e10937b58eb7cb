//! ISD-R, the eUICC's root security domain: everything an LPA asks of the card. SGP.22 §5.7.
//!
//! STORE DATA blocks are joined ([`store_data`]), the first tag picks the function from [`FUNCTIONS`], and the
//! function is a method in the file of its interface: `es10a`, `es10b`, `es10c`. A download is a [`session`] whose
//! states own what they know; the last one is the bound profile package as it arrives, [`loading`], whose end `bpp` writes down.
//!
//! What must last is in non-volatile memory under the numbers of [`item`]: the eUICC's identity, profiles, notifications.

#![expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "every ES10 function has the same shape")]

mod administration;
mod behaviour;
mod bpp;
mod es10a;
mod es10b;
mod es10c;
mod fault;
mod item;
mod kept;
mod keys;
mod loading;
mod notifications;
mod personalisation;
mod profiles;
mod server;
mod session;
mod store_data;

pub use behaviour::{Behaviour, Refresh, Takes};
pub use fault::Point;
pub use keys::{Certification, CertificationError};
pub use personalisation::{Personalisation, Preloaded};

use crate::fci::security_domain_fci;
use crate::global_platform::is_of_security_domains;
use crate::global_platform::secure_channel::SecureChannels;
use apdu::tlv::{Header, Tag, Writer};
use apdu::{Aid, Command, Ins, Response, SecureMessaging, StatusWord};
use card_os::{Application, Context, Outcome, ProactiveCommand, TerminalResponse};
use crypto::provider::Provider;
use rasn::{Decode, Encode};
use rsp::es10::Es10Function;
use rsp::es10a::{EuiccConfiguredAddressesRequest, SetDefaultDpAddressRequest};
use rsp::es10b::{
    AuthenticateServerRequest, CancelSessionRequest, GetEuiccChallengeRequest, ListNotificationRequest,
    NotificationSentRequest, PrepareDownloadRequest, RetrieveNotificationsListRequest,
};
use rsp::es10c::{
    DeleteProfileRequest, DisableProfileRequest, EnableProfileRequest, EuiccMemoryResetRequest, GetEuiccDataRequest,
    ProfileInfoListRequest, SetNicknameRequest,
};
use rsp::euicc_info::{GetEuiccInfo1Request, GetEuiccInfo2Request};
use rsp::rat::GetRatRequest;
use session::Session;
use std::sync::Arc;
use store_data::{Chain, Chains};

/// AID of ISD-R. SGP.02 Annex H.
pub const AID: Aid = rsp::ids::AID_ISD_R;

/// ISD-R.
pub struct IsdR {
    /// Signs, verifies, agrees.
    provider: Arc<dyn Provider>,
    chains: Chains,
    session: Session,
    before: Before,
    behaviour: Behaviour,
    /// The enabled profile has changed, and this card wants a reset before anything else.
    wants_reset: bool,
    /// Whether it has keys that a host opens a secure channel with.
    is_administered: bool,
    channels: SecureChannels,
}

/// What the command under way has changed, as it was before: restored if the command is rolled back, dropped when it is committed.
#[derive(Default)]
struct Before {
    /// The blocks before its last one, and their channel.
    chain: Option<(u8, Chain)>,
    /// The session that it has left or gone on with.
    session: Option<Session>,
    /// It has changed the enabled profile, on a card that wants a reset then.
    wants_reset: bool,
}

/// One ES10 function: from the command's octets to the response's.
type Function = fn(&mut IsdR, &[u8], &mut Context<'_, '_>) -> Result<Vec<u8>, StatusWord>;

/// Rows of a request and the method that executes it. Tag, name and response are those that `rsp` declares.
macro_rules! functions {
    ($($request:ty => $method:ident,)+) => {
        &[$(
            (<$request>::TAG, |isd_r, request, cx| {
                let is_lenient = isd_r.behaviour.lenient;
                answer::<$request>(request, is_lenient, |request| isd_r.$method(request, cx))
            }),
        )+]
    };
}

/// The ES10 functions by the tag their request starts with. SGP.22 §5.7.
const FUNCTIONS: &[(Tag, Function)] = functions! {
    EuiccConfiguredAddressesRequest => get_euicc_configured_addresses,
    SetDefaultDpAddressRequest => set_default_dp_address,
    GetEuiccInfo1Request => get_euicc_info1,
    GetEuiccInfo2Request => get_euicc_info2,
    GetEuiccChallengeRequest => get_euicc_challenge,
    GetRatRequest => get_rat,
    AuthenticateServerRequest => authenticate_server,
    PrepareDownloadRequest => prepare_download,
    CancelSessionRequest => cancel_session,
    ListNotificationRequest => list_notification,
    RetrieveNotificationsListRequest => retrieve_notifications_list,
    NotificationSentRequest => remove_notification_from_list,
    ProfileInfoListRequest => get_profiles_info,
    EnableProfileRequest => enable_profile,
    DisableProfileRequest => disable_profile,
    DeleteProfileRequest => delete_profile,
    EuiccMemoryResetRequest => euicc_memory_reset,
    GetEuiccDataRequest => get_eid,
    SetNicknameRequest => set_nickname,
};

/// Decodes a request, calls its function, encodes the response. What does not decode is `6A80`.
fn answer<F: Es10Function<Response: Encode> + Decode>(
    request: &[u8],
    is_lenient: bool,
    function: impl FnOnce(&F) -> Result<F::Response, StatusWord>,
) -> Result<Vec<u8>, StatusWord> {
    let decode = if is_lenient { rsp::decode_with_own_tags } else { rsp::decode };
    let request = decode(request).map_err(|_| StatusWord::WRONG_DATA)?;
    rsp::encode(&function(&request)?).map_err(|_| StatusWord::TECHNICAL_PROBLEM)
}

impl Application for IsdR {
    /// A change of state that a REFRESH announced takes place at the latest now. SGP.22 §3.2.1.
    fn start(&mut self, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
        self.behaviour = Behaviour::of(cx);
        self.is_administered = administration::is_possible(cx);
        self.shrink_notifications(cx);
        self.complete_pending_change(cx)
    }

    fn select(&mut self, cx: &mut Context<'_, '_>) -> Result<Vec<u8>, StatusWord> {
        const ISDR_PROPRIETARY_APPLICATION_TEMPLATE: Tag = Tag(0xE0);
        const SVN: Tag = Tag(0x82);
        self.channels.end(cx.channel());
        if let Some(fci) = &self.behaviour.fci {
            return Ok(fci.clone());
        }
        let info = keys::euicc_info2_template(cx)?;
        let mut template = Writer::new();
        template.constructed(ISDR_PROPRIETARY_APPLICATION_TEMPLATE, |template| {
            template.primitive(SVN, &info.svn.octets());
        });
        Ok(security_domain_fci(&cx.aid(), template.as_bytes()))
    }

    fn claims(&self, command: &Command<'_>) -> bool {
        if self.is_administered && is_of_security_domains(command) {
            return true;
        }
        command.class.is_proprietary()
            && command.ins == Ins::STORE_DATA
            && command.class.secure_messaging() == SecureMessaging::None
    }

    fn process(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        if self.is_administered
            && let Some(response) = self.administer(command, cx)
        {
            return response;
        }
        self.store_data(command, cx)
    }

    /// The host may send the same block again: the chain waits for it, the session is where it was. Only a block that is
    /// not the next one ends its chain.
    fn undone(&mut self, _: u8) {
        self.channels.undone();
        let Before { chain, session, .. } = core::mem::take(&mut self.before);
        if let Some((channel, chain)) = chain {
            self.chains.put_back(channel, chain);
        }
        if let Some(session) = session {
            self.session = session;
        }
    }

    fn committed(&mut self) {
        self.channels.committed();
        self.wants_reset |= core::mem::take(&mut self.before).wants_reset;
    }

    fn interrupted(&mut self, channel: u8) {
        self.chains.drop_chain(channel);
    }

    fn deselect(&mut self, channel: u8) {
        self.chains.drop_chain(channel);
        self.channels.end(channel);
    }

    fn terminal_response(
        &mut self,
        refresh: &ProactiveCommand,
        response: TerminalResponse<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<(), StatusWord> {
        match response.outcome() {
            Outcome::Performed => self.complete_pending_change(cx),
            outcome => self.put_off_pending_change(refresh, outcome, cx),
        }
    }
}

impl IsdR {
    /// A block of STORE DATA.
    fn store_data(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        if command.data.len() > usize::from(self.behaviour.longest_block) {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let Some(request) = self.chains.take(command)? else { return Ok(Response::done()) };
        let outcome = self.es10(&request, cx);
        self.before.chain = Chain::before(command, request).map(|chain| (command.class.channel(), chain));
        outcome
    }
}

impl IsdR {
    /// ISD-R, computing on curves by `provider`.
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        Self {
            provider,
            chains: Chains::default(),
            session: Session::default(),
            before: Before::default(),
            behaviour: Behaviour::default(),
            wants_reset: false,
            is_administered: false,
            channels: SecureChannels::default(),
        }
    }

    /// Leaves the session for another one; it is restored if the command is rolled back.
    fn enter(&mut self, next: Session) {
        let left = core::mem::replace(&mut self.session, next);
        self.before.session.get_or_insert(left);
    }

    /// One ES10 command, or one piece of a bound profile package.
    fn es10(&mut self, request: &[u8], cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        if self.wants_reset {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let header = Header::parse(request).ok().flatten();
        // The rest of an element may begin like anything: only a function that is whole is one then.
        let may_be_function =
            |header: &Header| !self.session.is_within_element() || header.total_length() == request.len();
        let header = header.filter(may_be_function);
        let named = |header: Header| FUNCTIONS.iter().find(|(tag, _)| *tag == header.tag);
        let function = header.and_then(named).map(|(_, function)| function);
        // What is no function is a piece of the package that the session waits for, or a broken one: then the server
        // gets a signed result, and nothing may follow. SGP.22 §5.7.6 knows no other end of a package.
        if function.is_none() && self.session.expects_package() {
            if let Some(instead) = fault::before(fault::PACKAGE, request, cx)? {
                return Ok(instead);
            }
            let answer = self.load_bound_profile_package(request, cx);
            return fault::after(fault::PACKAGE, request, answer, cx);
        }
        let header = header.ok_or(StatusWord::WRONG_DATA)?;
        if loading::is_part_of_package(header.tag) {
            // No session that would take it.
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let Some(function) = function else {
            return if self.behaviour.unknown_tag.is_ok() {
                Ok(self.behaviour.unknown_tag.into())
            } else {
                Err(self.behaviour.unknown_tag)
            };
        };
        if header.total_length() != request.len() {
            return Err(StatusWord::WRONG_DATA);
        }
        if let Some(instead) = fault::before(header.tag, request, cx)? {
            return Ok(instead);
        }
        let answer = function(self, request, cx);
        fault::after(header.tag, request, answer, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsp::es10::FUNCTIONS as DECLARED;

    /// What `rsp` declares is here, or has a reason not to be.
    #[test]
    fn every_function_of_es10_is_answered() {
        for declared in DECLARED {
            let is_here = FUNCTIONS.iter().any(|(tag, _)| *tag == declared.tag);
            let expected = match declared.name {
                // Not by tag: a session takes the package piece by piece.
                "LoadBoundProfilePackage" => {
                    assert!(loading::is_part_of_package(declared.tag));
                    false
                }
                // Only for an eUICC that says crlSupport, which this one does not. SGP.22 §5.7.12.
                "LoadCRL" => false,
                _ => true,
            };
            assert_eq!(is_here, expected, "{declared:?}");
        }
    }
}
