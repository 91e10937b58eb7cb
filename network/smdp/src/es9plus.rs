//! The five functions of ES9+, sans IO: messages, entropy and time come in, messages go out. Persistent state goes
//! through the [store](SqlStore).

use std::sync::Arc;

use crypto::provider::Provider;
use identities::Eid;
use rsp::chain::TrustAnchor;
use rsp::es2plus::NotificationPointId;
use rsp::es9::{
    AuthenticateClientRequest, AuthenticateClientResponse, Base64, CancelSessionRequest, Empty,
    GetBoundProfilePackageRequest, GetBoundProfilePackageResponse, InitiateAuthenticationRequest,
    InitiateAuthenticationResponse, Status, status,
};
use rsp::es10b::{
    AuthenticateServerResponse, CancelSessionReason, CancelSessionResponse, EuiccSigned2, PrepareDownloadResponse,
    SmdpSigned2,
};
use rsp::{Raw, SubjectKeyIdentifier, TransactionId};
use rsp_server::authentication::public_key;
use rsp_server::{Authentication, SessionLimits, Signer};
use system::System;
use tokio::sync::{Mutex, MutexGuard, Notify};

use crate::bind::{Binding, ProfileProtection};
use crate::eligibility;
use crate::identity::Identity;
use crate::point::{Point, failure};
use crate::profile::{Profile, ProfileState, UnixTime};
use crate::sql::SqlStore;
use crate::status::{EUICC_ERROR, Refusal, RefuseWith, TOO_MANY_SESSIONS};
use crate::store::{Changes, Peer, Progress, Session, SessionState, StoreError};

/// Settings of an SM-DP+.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The SM-DP+ address: FQDN, with `:port` unless that is 443.
    pub address: String,
    /// Other addresses it accepts.
    pub aliases: Vec<String>,
    /// How long sessions last, and how many may wait.
    pub sessions: SessionLimits,
    /// Number of wrong confirmation codes that ends an order.
    pub confirmation_code_tries: u32,
    /// Number of delivered packages that ends an order.
    pub download_tries: u32,
    /// Whether an order ends when its user rejects the profile (SGP.22 §3.1.3). Widespread LPAs give this reason for every
    /// failure of their own, down to a mistyped confirmation code: where they are tried, the order may stay open.
    pub rejection_is_final: bool,
    /// The keys that encrypt profiles.
    pub protection: ProfileProtection,
    /// Whether profiles are refused to an eUICC on which they would not work.
    pub check_eligibility: bool,
    /// Whether a notification is taken that lacks its outermost tag, as some deployed LPAs send it; the log says so. A strict server
    /// refuses it: `2.1/1.3.1`.
    pub lenient: bool,
    /// Name of the server in key derivations, 1 to 16 octets.
    pub host_id: Vec<u8>,
    /// Maximum number of stored notifications; the oldest are deleted first.
    pub notifications_kept: u32,
    /// How long they are stored, in seconds.
    pub notifications_kept_for: UnixTime,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: String::new(),
            aliases: Vec::new(),
            sessions: SessionLimits::default(),
            confirmation_code_tries: 3,
            download_tries: 10,
            rejection_is_final: true,
            protection: ProfileProtection::default(),
            check_eligibility: true,
            lenient: false,
            host_id: b"vuicc-smdp".to_vec(),
            notifications_kept: 100_000,
            notifications_kept_for: 365 * 24 * 60 * 60,
        }
    }
}

/// Retries after a concurrent change of the same profile.
pub(crate) const PERSISTENCE: u32 = 50;
/// How many transactionIds may be taken already. None is, unless a server draws the same again because it was started
/// again with the same seed.
const REPETITIONS: u32 = 10_000;

/// An SM-DP+: identities, trust and settings, over a store.
#[derive(Debug)]
pub struct SmDp {
    store: SqlStore,
    settings: Settings,
    system: System,
    authentication: Authentication,
    /// CERT.DPpb and its key under each CI.
    binding: Vec<(SubjectKeyIdentifier, Signer)>,
    progress_written: Notify,
    /// Whose turn it is to change the row of an order that many download at a time: they would refuse each other.
    turn: Mutex<()>,
}

impl SmDp {
    /// An SM-DP+ with these identities, trusting these CIs, with this elliptic curve provider, and with the time and
    /// randomness of `system`.
    pub fn new(
        store: SqlStore,
        settings: Settings,
        identities: Vec<Identity>,
        trust: Vec<TrustAnchor>,
        provider: Arc<dyn Provider>,
        system: System,
    ) -> Self {
        let parts = identities.into_iter().map(|identity| {
            let Identity { server, dp_pb } = identity;
            let ci = server.ci().clone();
            (server, (ci, dp_pb.signing_by(&*provider)))
        });
        let (servers, binding) = parts.unzip();
        let addresses = settings.aliases.iter().chain([&settings.address]);
        let authentication = Authentication::new(addresses, servers, trust, provider);
        Self { store, settings, system, authentication, binding, progress_written: Notify::new(), turn: Mutex::new(()) }
    }

    /// The store.
    pub fn store(&self) -> &SqlStore {
        &self.store
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its time and randomness.
    pub(crate) fn system(&self) -> &System {
        &self.system
    }

    /// Its identity towards eUICCs.
    pub(crate) fn authentication(&self) -> &Authentication {
        &self.authentication
    }

    /// Wakes the delivery of progress notifications.
    pub(crate) fn progress_written(&self) -> &Notify {
        &self.progress_written
    }

    /// Waits for the turn to change what others change at the same time.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Writes the changes of one step, and wakes the delivery if there is a notification.
    pub(crate) async fn apply(&self, changes: &Changes<'_>) -> Result<(), StoreError> {
        self.store.apply(changes).await?;
        if changes.progress.is_some() {
            self.progress_written.notify_one();
        }
        Ok(())
    }

    /// ES9+.InitiateAuthentication: opens a session and sends the eUICC a signature under a CI it knows. `source` is
    /// the network the call comes from; if empty, only the total quota applies.
    pub async fn initiate_authentication(
        &self,
        request: &InitiateAuthenticationRequest,
        source: &str,
        fill_random: &mut (impl FnMut(&mut [u8]) + Send),
        now: UnixTime,
    ) -> Result<InitiateAuthenticationResponse, Refusal> {
        let initiation = self.authentication.initiation(request)?;
        let limits = &self.settings.sessions;
        for quota in limits.quotas(source, now) {
            if !self.store.is_within(&quota).await? {
                return Err(TOO_MANY_SESSIONS.into());
            }
        }
        for _ in 0..REPETITIONS {
            let session = initiation.open(source, limits.expires_at(now), fill_random);
            if self.store.session(&session.transaction_id).await?.is_some() {
                continue;
            }
            match self.store.add_session(&session).await {
                // Another server that shares the database was faster.
                Err(StoreError::Exists(_)) => {}
                other => {
                    other?;
                    return initiation.answer(&session);
                }
            }
        }
        Err(StoreError::Exists("a session with this transactionId").into())
    }

    /// ES9+.AuthenticateClient: verifies the eUICC and finds the profile ordered for it.
    ///
    /// A refusal ends the session.
    pub async fn authenticate_client(
        &self,
        request: &AuthenticateClientRequest,
        now: UnixTime,
    ) -> Result<AuthenticateClientResponse, Refusal> {
        let response = request.authenticate_server_response.decode()?;
        let mut session = self.open_session(&request.transaction_id, now).await?;
        if session.state != SessionState::Initiated {
            return Err(status::TRANSACTION_UNKNOWN.because("the session is past this step"));
        }
        match self.authenticated(&session, &response, now).await {
            Ok((answer, peer, progress)) => {
                session.state = SessionState::Authenticated(peer);
                let session = Some(&session);
                self.apply(&Changes { session, progress: progress.as_ref(), ..Changes::default() }).await?;
                Ok(answer)
            }
            Err(Denied { refusal, profile, progress }) => {
                session.state = SessionState::Ended(None);
                let changes = Changes {
                    session: Some(&session),
                    profile: profile.as_deref(),
                    progress: progress.as_deref(),
                    ..Changes::default()
                };
                self.apply(&changes).await?;
                Err(refusal)
            }
        }
    }

    async fn authenticated(
        &self,
        session: &Session,
        response: &AuthenticateServerResponse,
        now: UnixTime,
    ) -> Result<(AuthenticateClientResponse, Peer, Option<Progress>), Denied> {
        let euicc = self.authentication.authenticate(session, response, now)?;
        let profile = self.ordered_profile(euicc.context.matching_id.as_deref(), &euicc.eid).await?;
        let point = |failure| Point {
            id: NotificationPointId::ELIGIBILITY_AND_RETRY_LIMIT_CHECK,
            failure,
            eid: Some(euicc.eid),
            occasion: session.transaction_id.to_string(),
            result_data: None,
        };
        let checked = self.check_order(&profile, &euicc.eid, now).and_then(|()| {
            if self.settings.check_eligibility { Ok(eligibility::check(&profile, &euicc.euicc_info)?) } else { Ok(()) }
        });
        if let Err(mut denied) = checked {
            // Attempts with another order's code are not reported as progress.
            if !denied.is_about_the_asker() {
                denied.progress = point(Some(failure(&denied.refusal))).told(&profile, now).map(Box::new);
            }
            return Err(denied);
        }

        let dp_pb = self.dp_pb(session)?;
        let smdp_signed2 = Raw::encode(&SmdpSigned2 {
            transaction_id: session.transaction_id.clone(),
            cc_required_flag: profile.order.confirmation_code.is_some(),
            bpp_euicc_otpk: profile.order.euicc_otpk.clone(),
        })?;
        let input = [smdp_signed2.octets(), &euicc.euicc_signature1.tlv()].concat();
        let smdp_signature2 = dp_pb.sign(&input);
        let peer = Peer {
            eid: euicc.eid,
            euicc_certificate: euicc.euicc_certificate.clone(),
            iccid: profile.iccid().clone(),
            matching_id: profile.order.matching_id.clone(),
            smdp_signature2: smdp_signature2.clone(),
        };
        let progress = point(None).told(&profile, now);
        let answer = AuthenticateClientResponse {
            transaction_id: session.transaction_id.clone(),
            profile_metadata: Raw::encode(&profile.metadata)?,
            smdp_signed2,
            smdp_signature2: Raw::encode(&smdp_signature2)?,
            smdp_certificate: dp_pb.certificate().clone(),
        };
        Ok((answer, peer, progress))
    }

    /// The profile of a matchingId, or without one, of the EID.
    async fn ordered_profile(&self, matching_id: Option<&str>, eid: &Eid) -> Result<Profile, Refusal> {
        let found = match matching_id {
            Some(matching_id) if !matching_id.is_empty() => self.store.profile_by_matching_id(matching_id).await?,
            _ => self.store.profile_by_eid(eid).await?,
        };
        found.ok_or_else(|| status::MATCHING_ID_REFUSED.because("no such order"))
    }

    /// Whether the order allows this eUICC to download.
    fn check_order(&self, profile: &Profile, eid: &Eid, now: UnixTime) -> Result<(), Denied> {
        match profile.state {
            ProfileState::Released | ProfileState::Downloaded => {}
            ProfileState::Allocated | ProfileState::Linked | ProfileState::Confirmed => {
                return Err(Refusal::from(status::PROFILE_NOT_RELEASED).into());
            }
            state => return Err(status::MATCHING_ID_REFUSED.because(format!("the profile is {state}")).into()),
        }
        if profile.order.eid.is_some_and(|reserved_for| reserved_for != *eid) {
            return Err(status::EID_REFUSED.because(eid.to_string()).into());
        }
        if profile.order.expires_at.is_some_and(|end| now >= end) {
            return Err(Denied::for_good(status::DOWNLOAD_ORDER_EXPIRED, profile, now));
        }
        if !profile.order.reusable && profile.order.downloads >= self.settings.download_tries {
            return Err(Denied::for_good(status::DOWNLOAD_RETRIES_EXCEEDED, profile, now));
        }
        Ok(())
    }

    /// ES9+.GetBoundProfilePackage: binds the profile to the eUICC's one-time key. May be repeated within a session.
    pub async fn get_bound_profile_package(
        &self,
        request: &GetBoundProfilePackageRequest,
        fill_random: &mut (impl FnMut(&mut [u8]) + Send),
        now: UnixTime,
    ) -> Result<GetBoundProfilePackageResponse, Refusal> {
        let response = request.prepare_download_response.decode()?;
        let (mut session, peer) = self.authenticated_session(&request.transaction_id, now).await?;
        let ok = match &response {
            PrepareDownloadResponse::DownloadResponseOk(ok) => ok,
            PrepareDownloadResponse::DownloadResponseError(error) => {
                session.check_transaction(&error.transaction_id)?;
                let refusal = EUICC_ERROR.because(error.download_error_code.to_string());
                let profile = self.store.profile(&peer.iccid).await?;
                let profile = profile.filter(|profile| profile.order.matching_id == peer.matching_id);
                let point = Point {
                    id: NotificationPointId::BPP_DOWNLOAD,
                    failure: Some(failure(&refusal)),
                    eid: Some(peer.eid),
                    occasion: session.transaction_id.to_string(),
                    result_data: None,
                };
                let progress = profile.and_then(|profile| point.told(&profile, now));
                session.state = SessionState::Ended(Some(peer));
                let session = Some(&session);
                self.apply(&Changes { session, progress: progress.as_ref(), ..Changes::default() }).await?;
                return Err(refusal);
            }
        };
        let input = [ok.euicc_signed2.octets(), &peer.smdp_signature2.tlv()].concat();
        self.authentication.verify(&public_key(&peer.euicc_certificate)?, &input, &ok.euicc_signature2)?;
        let signed = ok.euicc_signed2.decode()?;
        session.check_transaction(&signed.transaction_id)?;

        // A wrong code is counted, and a delivery recorded, before the answer is sent; after a concurrent change,
        // everything is checked again.
        for _ in 0..PERSISTENCE {
            match self.handed_out(&session, &peer, &signed, fill_random, now).await {
                Err(HandOutError::Meanwhile) => {
                    (session, _) = self.authenticated_session(&request.transaction_id, now).await?;
                }
                Err(HandOutError::Refused(refusal)) => return Err(refusal),
                Ok(answer) => return Ok(answer),
            }
        }
        Err(StoreError::Conflict("the profile").into())
    }

    /// A session that has not ended, and whose eUICC has authenticated.
    async fn authenticated_session(
        &self,
        transaction_id: &TransactionId,
        now: UnixTime,
    ) -> Result<(Session, Peer), Refusal> {
        let session = self.open_session(transaction_id, now).await?;
        match session.state.clone() {
            SessionState::Authenticated(peer) | SessionState::Delivered(peer) => Ok((session, peer)),
            _ => Err(status::TRANSACTION_UNKNOWN.because("the eUICC has not been authenticated")),
        }
    }

    /// The profile of a session, bound; or a refusal. Either way its changes are written.
    async fn handed_out(
        &self,
        session: &Session,
        peer: &Peer,
        signed: &EuiccSigned2,
        fill_random: &mut (impl FnMut(&mut [u8]) + Send),
        now: UnixTime,
    ) -> Result<GetBoundProfilePackageResponse, HandOutError> {
        let read = || self.store.profile(&peer.iccid);
        let mut profile = read().await?.ok_or(status::PROFILE_NOT_REBINDABLE)?;
        let hash_cc = signed.hash_cc.as_ref().map(|hash| hash.as_slice());
        let check = |profile: &mut Profile| {
            self.check_order(profile, &peer.eid, now)
                .and_then(|()| self.check_confirmation_code(profile, &session.transaction_id, hash_cc, now))
        };
        let (mut bound, mut _turn) = (None, None);
        if profile.order.reusable {
            // Bound before the turn has come, so that others are bound at the same time.
            if check(&mut profile.clone()).is_ok() {
                bound = Some((self.bound(session, peer, signed, &profile, fill_random).await?, profile.metadata));
            }
            _turn = Some(self.turn().await);
            profile = read().await?.ok_or(status::PROFILE_NOT_REBINDABLE)?;
        }
        if profile.order.matching_id != peer.matching_id {
            return Err(status::PROFILE_NOT_REBINDABLE.because("the profile was ordered anew").into());
        }
        if let Err(denied) = check(&mut profile) {
            return Err(self.not_handed_out(session, peer, denied, now).await);
        }
        let bound_profile_package = Base64(match bound {
            Some((bound, metadata)) if metadata == profile.metadata => bound,
            _ => self.bound(session, peer, signed, &profile, fill_random).await?,
        });

        profile.order.downloads = profile.order.downloads.saturating_add(1);
        if !profile.order.reusable {
            profile.order.eid = Some(peer.eid);
            profile.order.euicc_otpk = Some(signed.euicc_otpk.clone());
        }
        profile.enter(ProfileState::Downloaded, now);
        let point = hand_out_point(NotificationPointId::BPP_DOWNLOAD, session, peer, &profile, None);
        let progress = point.told(&profile, now);
        let session = Session { state: SessionState::Delivered(peer.clone()), ..session.clone() };
        let changes = Changes {
            profile: Some(&profile),
            session: Some(&session),
            progress: progress.as_ref(),
            ..Changes::default()
        };
        self.apply(&changes).await.map_err(HandOutError::of_store)?;
        Ok(GetBoundProfilePackageResponse { transaction_id: session.transaction_id, bound_profile_package })
    }

    /// Writes the consequences of a package that is not delivered, and returns the refusal for the client.
    async fn not_handed_out(&self, session: &Session, peer: &Peer, denied: Denied, now: UnixTime) -> HandOutError {
        let Denied { refusal, profile, .. } = denied;
        if let Some(profile) = profile {
            let id = match refusal.status {
                status::CONFIRMATION_CODE_RETRIES_EXCEEDED => NotificationPointId::CONFIRMATION_FAILURE,
                _ => NotificationPointId::ELIGIBILITY_AND_RETRY_LIMIT_CHECK,
            };
            // A mistyped code is not reported as progress: the order continues.
            let point = hand_out_point(id, session, peer, &profile, Some(failure(&refusal)));
            let progress = point.told(&profile, now).filter(|_| profile.state == ProfileState::Error);
            let changes = Changes { profile: Some(&*profile), progress: progress.as_ref(), ..Changes::default() };
            if let Err(error) = self.apply(&changes).await {
                return HandOutError::of_store(error);
            }
        }
        HandOutError::Refused(match refusal.status {
            // The order was cancelled or used up since the client was authenticated.
            status::MATCHING_ID_REFUSED | status::PROFILE_NOT_RELEASED | status::EID_REFUSED => {
                status::PROFILE_NOT_REBINDABLE.because(refusal.to_string())
            }
            _ => refusal,
        })
    }

    /// The package of a profile, bound to the eUICC of a session.
    async fn bound(
        &self,
        session: &Session,
        peer: &Peer,
        signed: &EuiccSigned2,
        profile: &Profile,
        fill_random: &mut (impl FnMut(&mut [u8]) + Send),
    ) -> Result<Vec<u8>, Refusal> {
        let package = self.store.package(&peer.iccid).await?.ok_or(status::PROFILE_NOT_REBINDABLE)?;
        let binding = Binding {
            transaction_id: &session.transaction_id,
            eid: &peer.eid,
            euicc_otpk: &signed.euicc_otpk,
            host_id: &self.settings.host_id,
            metadata: &profile.metadata,
            package: &package,
            protection: self.settings.protection,
        };
        Ok(binding.bind(self.dp_pb(session)?, self.authentication.provider(), fill_random)?)
    }

    /// Compares the confirmation code. A wrong one is counted, and written with its consequences; a right one clears
    /// the count.
    fn check_confirmation_code(
        &self,
        profile: &mut Profile,
        transaction_id: &TransactionId,
        hash_cc: Option<&[u8]>,
        now: UnixTime,
    ) -> Result<(), Denied> {
        let Some(code) = &mut profile.order.confirmation_code else { return Ok(()) };
        let hash_cc = hash_cc.ok_or(Refusal::from(status::CONFIRMATION_CODE_MISSING))?;
        if code.hash.matches(transaction_id.octets(), hash_cc) {
            code.failures = 0;
            return Ok(());
        }
        code.failures = code.failures.saturating_add(1);
        if code.failures >= self.settings.confirmation_code_tries {
            return Err(Denied::for_good(status::CONFIRMATION_CODE_RETRIES_EXCEEDED, profile, now));
        }
        let profile = Some(Box::new(profile.clone()));
        Err(Denied { refusal: status::CONFIRMATION_CODE_REFUSED.into(), profile, progress: None })
    }

    /// ES9+.CancelSession: the eUICC cancels a session, with a reason.
    pub async fn cancel_session(&self, request: &CancelSessionRequest, now: UnixTime) -> Result<Empty, Refusal> {
        let response = request.cancel_session_response.decode()?;
        let mut session = self.open_session(&request.transaction_id, now).await?;
        let ok = match &response {
            CancelSessionResponse::CancelSessionResponseOk(ok) => ok,
            CancelSessionResponse::CancelSessionResponseError(error) => {
                return Err(EUICC_ERROR.because(error));
            }
        };
        let (SessionState::Authenticated(peer) | SessionState::Delivered(peer)) = session.state.clone() else {
            return Err(status::TRANSACTION_UNKNOWN.because("the eUICC has not been authenticated"));
        };
        let key = public_key(&peer.euicc_certificate)?;
        self.authentication.verify(
            &key,
            ok.euicc_cancel_session_signed.octets(),
            &ok.euicc_cancel_session_signature,
        )?;
        let signed = ok.euicc_cancel_session_signed.decode()?;
        session.check_transaction(&signed.transaction_id)?;
        session.check_server(&signed.smdp_oid)?;
        tracing::info!(transaction = %session.transaction_id, reason = %signed.reason, "session cancelled");
        let mut turn = None;
        for _ in 0..PERSISTENCE {
            match self.end_cancelled(session, &peer, signed.reason, now).await {
                Err(StoreError::Conflict(_)) => {
                    if turn.is_none() {
                        turn = Some(self.turn().await);
                    }
                    session = self.open_session(&request.transaction_id, now).await?;
                }
                other => return Ok(other.map(|()| Empty {})?),
            }
        }
        Err(StoreError::Conflict("the profile").into())
    }

    /// Ends a session that the eUICC has cancelled, and writes what that means for its profile.
    async fn end_cancelled(
        &self,
        mut session: Session,
        peer: &Peer,
        reason: CancelSessionReason,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        let profile = self.store.profile(&peer.iccid).await?;
        let is_of_this_order = |profile: &Profile| {
            profile.order.matching_id == peer.matching_id && profile.order.eid.is_none_or(|eid| eid == peer.eid)
        };
        let mut profile = profile.filter(|it| it.state.is_downloadable() && is_of_this_order(it));
        let mut progress = None;
        let before = profile.as_ref().map(|it| it.state);
        if let Some(profile) = &mut profile {
            profile.session_cancelled(reason, self.settings.rejection_is_final, now);
            if profile.state == ProfileState::Error {
                let failure = EUICC_ERROR.because(format!("the download was given up: {reason}"));
                let point = Point {
                    id: NotificationPointId::BPP_DOWNLOAD,
                    failure: Some(self::failure(&failure)),
                    eid: Some(peer.eid),
                    occasion: format!("{}-{}", session.transaction_id, profile.revision),
                    result_data: None,
                };
                progress = point.told(profile, now);
            }
        }
        session.state = SessionState::Ended(Some(peer.clone()));
        let changes = Changes {
            // What stays is not written: others may be changing it.
            profile: profile.as_ref().filter(|it| Some(it.state) != before),
            session: Some(&session),
            progress: progress.as_ref(),
            ..Changes::default()
        };
        self.apply(&changes).await
    }

    async fn open_session(&self, id: &TransactionId, now: UnixTime) -> Result<Session, Refusal> {
        match self.store.session(id).await? {
            Some(Session { state: SessionState::Ended(_), .. }) => {
                Err(status::TRANSACTION_UNKNOWN.because("the session has ended"))
            }
            Some(session) => session.check_expiry(now).map(|()| session),
            None => Err(status::TRANSACTION_UNKNOWN.because("no such session")),
        }
    }

    /// CERT.DPpb and its key under the CI of a session.
    fn dp_pb(&self, session: &Session) -> Result<&Signer, Refusal> {
        let found = self.binding.iter().find(|(ci, _)| *ci == session.ci);
        found.map(|(_, signer)| signer).ok_or_else(|| status::NO_SERVER_CERTIFICATE.into())
    }
}

/// A failed download: the answer for the client, and the consequences for the order.
struct Denied {
    refusal: Refusal,
    /// The profile, if its order ends or loses a try.
    profile: Option<Box<Profile>>,
    /// The progress notification for its operator.
    progress: Option<Box<Progress>>,
}

impl Denied {
    /// The order ends, with this status.
    fn for_good(status: Status, profile: &Profile, now: UnixTime) -> Self {
        let mut profile = Box::new(profile.clone());
        profile.enter(ProfileState::Error, now);
        Self { refusal: status.into(), profile: Some(profile), progress: None }
    }

    /// Whether it concerns who asked, and when, rather than the order.
    fn is_about_the_asker(&self) -> bool {
        matches!(self.refusal.status, status::PROFILE_NOT_RELEASED | status::MATCHING_ID_REFUSED | status::EID_REFUSED)
    }
}

impl<E: Into<Refusal>> From<E> for Denied {
    fn from(error: E) -> Self {
        Self { refusal: error.into(), profile: None, progress: None }
    }
}

/// A point that a profile passes, or fails at, while its package is delivered. Each delivery is one of its own.
fn hand_out_point(
    id: NotificationPointId,
    session: &Session,
    peer: &Peer,
    profile: &Profile,
    failure: Option<(Status, String)>,
) -> Point<'static> {
    let occasion = format!("{}-{}", session.transaction_id, profile.revision);
    Point { id, failure, eid: Some(peer.eid), occasion, result_data: None }
}

/// Why no package is delivered.
enum HandOutError {
    /// The answer for the client.
    Refused(Refusal),
    /// A concurrent change of the same profile or session: everything may be different now.
    Meanwhile,
}

impl HandOutError {
    fn of_store(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(_) => Self::Meanwhile,
            other => Self::Refused(other.into()),
        }
    }
}

impl<E: Into<Refusal>> From<E> for HandOutError {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}
