//! ISD-R, the eUICC's root security domain: everything an LPA asks of the card. SGP.22 §5.7.
//!
//! STORE DATA blocks are joined ([`store_data`]), the first tag picks the function from [`FUNCTIONS`], and the
//! function is a method in the file of its interface: `es10a`, `es10b`, `es10c`. A download is a [`session`] whose
//! states own what they know; its last state feeds the bound profile package, as it arrives, through `bpp`.
//!
//! What must last is in non-volatile memory under the numbers of [`item`]: who the eUICC is, profiles, notifications.

#![expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "every ES10 function has the same shape")]

mod bpp;
mod es10a;
mod es10b;
mod es10c;
mod item;
mod kept;
mod keys;
mod notifications;
mod personalisation;
mod profiles;
mod session;
mod store_data;

pub use keys::{Certification, CertificationError};
pub use personalisation::{Personalisation, Preloaded};

use crate::fci::security_domain_fci;
use apdu::tlv::{Header, Tag, Writer};
use apdu::{Aid, Command, Ins, Response, SecureMessaging, StatusWord};
use card_os::{Application, Context, Outcome, ProactiveCommand, TerminalResponse};
use crypto::provider::Provider;
use rasn::{Decode, Encode};
use rsp::ids::tag;
use session::Session;
use std::sync::Arc;
use store_data::{Chain, Chains};

/// AID of ISD-R. SGP.02 Annex H.
pub const AID: Aid = Aid::full(rsp::ids::AID_ISD_R);

/// ISD-R.
pub struct IsdR {
    /// Signs, verifies, agrees.
    provider: Arc<dyn Provider>,
    chains: Chains,
    session: Session,
    before: Before,
}

/// What the command under way has changed, as it was before: put back if it comes to nothing, wiped as soon as it counts.
#[derive(Default)]
struct Before {
    /// The blocks before its last one, and their channel.
    chain: Option<(u8, Chain)>,
    /// The session that it has left or gone on with.
    session: Option<Session>,
}

/// One ES10 function: from the command's octets to the response's.
type Function = fn(&mut IsdR, &[u8], &mut Context<'_, '_>) -> Result<Vec<u8>, StatusWord>;

/// The ES10 functions by the tag their request starts with. SGP.22 §5.7.
const FUNCTIONS: &[(Tag, Function)] = &[
    (tag::EUICC_CONFIGURED_ADDRESSES, |isd_r, request, cx| {
        answer(request, |request| isd_r.get_euicc_configured_addresses(&request, cx))
    }),
    (tag::SET_DEFAULT_DP_ADDRESS, |isd_r, request, cx| {
        answer(request, |request| isd_r.set_default_dp_address(request, cx))
    }),
    (tag::EUICC_INFO1, |isd_r, request, cx| answer(request, |request| isd_r.get_euicc_info1(&request, cx))),
    (tag::EUICC_INFO2, |isd_r, request, cx| answer(request, |request| isd_r.get_euicc_info2(&request, cx))),
    (tag::GET_EUICC_CHALLENGE, |isd_r, request, cx| answer(request, |request| isd_r.get_euicc_challenge(&request, cx))),
    (tag::GET_RAT, |isd_r, request, cx| answer(request, |request| isd_r.get_rat(&request, cx))),
    (tag::AUTHENTICATE_SERVER, |isd_r, request, cx| answer(request, |request| isd_r.authenticate_server(&request, cx))),
    (tag::PREPARE_DOWNLOAD, |isd_r, request, cx| answer(request, |request| isd_r.prepare_download(&request, cx))),
    (tag::CANCEL_SESSION, |isd_r, request, cx| answer(request, |request| isd_r.cancel_session(&request, cx))),
    (tag::LIST_NOTIFICATION, |isd_r, request, cx| answer(request, |request| isd_r.list_notification(&request, cx))),
    (tag::RETRIEVE_NOTIFICATIONS_LIST, |isd_r, request, cx| {
        answer(request, |request| isd_r.retrieve_notifications_list(&request, cx))
    }),
    (tag::NOTIFICATION_SENT, |isd_r, request, cx| {
        answer(request, |request| isd_r.remove_notification_from_list(&request, cx))
    }),
    (tag::PROFILE_INFO_LIST, |isd_r, request, cx| answer(request, |request| isd_r.get_profiles_info(&request, cx))),
    (tag::ENABLE_PROFILE, |isd_r, request, cx| answer(request, |request| isd_r.enable_profile(&request, cx))),
    (tag::DISABLE_PROFILE, |isd_r, request, cx| answer(request, |request| isd_r.disable_profile(&request, cx))),
    (tag::DELETE_PROFILE, |isd_r, request, cx| answer(request, |request| isd_r.delete_profile(request, cx))),
    (tag::EUICC_MEMORY_RESET, |isd_r, request, cx| answer(request, |request| isd_r.euicc_memory_reset(&request, cx))),
    (tag::GET_EUICC_DATA, |isd_r, request, cx| answer(request, |request| isd_r.get_eid(&request, cx))),
    (tag::SET_NICKNAME, |isd_r, request, cx| answer(request, |request| isd_r.set_nickname(&request, cx))),
];

/// Decodes a request, calls its function, encodes the response. What does not decode is `6A80`.
fn answer<Q: Decode, A: Encode>(
    request: &[u8],
    function: impl FnOnce(Q) -> Result<A, StatusWord>,
) -> Result<Vec<u8>, StatusWord> {
    let request = rsp::decode(request).map_err(|_| StatusWord::WRONG_DATA)?;
    rsp::encode(&function(request)?).map_err(|_| StatusWord::TECHNICAL_PROBLEM)
}

impl Application for IsdR {
    /// A change of state that a REFRESH announced takes place at the latest now. SGP.22 §3.2.1.
    fn start(&mut self, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
        self.shrink_notifications(cx);
        self.complete_pending_change(cx)
    }

    fn select(&mut self, cx: &mut Context<'_, '_>) -> Result<Vec<u8>, StatusWord> {
        const ISDR_PROPRIETARY_APPLICATION_TEMPLATE: Tag = Tag(0xE0);
        const SVN: Tag = Tag(0x82);
        let info = keys::euicc_info2_template(cx)?;
        let mut template = Writer::new();
        template.constructed(ISDR_PROPRIETARY_APPLICATION_TEMPLATE, |template| {
            template.primitive(SVN, &info.svn.octets());
        });
        Ok(security_domain_fci(&AID, template.as_bytes()))
    }

    fn claims(&self, command: &Command<'_>) -> bool {
        command.class.is_proprietary()
            && command.ins == Ins::STORE_DATA
            && command.class.secure_messaging() == SecureMessaging::None
    }

    fn process(&mut self, command: &Command<'_>, cx: &mut Context<'_, '_>) -> Result<Response, StatusWord> {
        let Some(request) = self.chains.take(command)? else { return Ok(Response::done()) };
        let outcome = self.es10(&request, cx);
        self.before.chain = Chain::before(command, request).map(|chain| (command.class.channel(), chain));
        outcome.map(Response::ok)
    }

    /// The host may send the same block again: the chain waits for it, the session is where it was. Only a block that is
    /// not the next one ends its chain.
    fn undone(&mut self, _: u8) {
        let Before { chain, session } = core::mem::take(&mut self.before);
        if let Some((channel, chain)) = chain {
            self.chains.put_back(channel, chain);
        }
        if let Some(session) = session {
            self.session = session;
        }
    }

    fn committed(&mut self) {
        self.before = Before::default();
    }

    fn interrupted(&mut self, channel: u8) {
        self.chains.drop_chain(channel);
    }

    fn deselect(&mut self, channel: u8) {
        self.chains.drop_chain(channel);
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
    /// ISD-R, computing on curves by `provider`.
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        Self { provider, chains: Chains::default(), session: Session::default(), before: Before::default() }
    }

    /// Leaves the session for another one; it comes back if the command comes to nothing.
    fn enter(&mut self, next: Session) {
        let left = core::mem::replace(&mut self.session, next);
        self.before.session.get_or_insert(left);
    }

    /// One ES10 command, or one piece of a bound profile package.
    fn es10(&mut self, request: &[u8], cx: &mut Context<'_, '_>) -> Result<Vec<u8>, StatusWord> {
        let header = Header::parse(request).ok().flatten();
        // The rest of an element may begin like anything: only a function that is whole is one then.
        let may_be_function =
            |header: &Header| !self.session.is_within_element() || header.total_length() == request.len();
        let header = header.filter(may_be_function);
        let named = |header: Header| FUNCTIONS.iter().find(|(tag, _)| *tag == header.tag);
        let function = header.and_then(named).map(|(_, function)| function);
        // What is no function is a piece of the package that the session waits for, or a broken one: then the server is
        // to hear of it (a result, signed), and nothing may follow. SGP.22 §5.7.6 knows no other end of a package.
        if function.is_none() && self.session.expects_package() {
            return self.load_bound_profile_package(request, cx);
        }
        let header = header.ok_or(StatusWord::WRONG_DATA)?;
        if bpp::is_part_of_package(header.tag) {
            // No session that would take it.
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let function = function.ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
        if header.total_length() != request.len() {
            return Err(StatusWord::WRONG_DATA);
        }
        function(self, request, cx)
    }
}
