//! ES2+: the functions operators call, over mutual TLS. SGP.22 §5.3 and §6.5
//!
//! The client certificate identifies the [`Operator`]; functionRequesterIdentifier has to match. A call is executed
//! once: its answer is stored with the change it made, and a repetition gets that answer. A repetition is the same
//! request under the same functionCallIdentifier: some clients give different calls within one second the same
//! identifier.

use std::future::Future;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::HeaderMap;
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use https::{PeerCertificate, Whole, tls};
use identities::Discreet;
use identities::Eid;
use rsp::es2plus::{
    self, CancelOrderRequest, ConfirmOrderRequest, ConfirmOrderResponse, DownloadOrderRequest, DownloadOrderResponse,
    FinalProfileStatusIndicator, Function, ReleaseProfileRequest, Request, RequestHeader, status,
};
use rsp::es9::{self, Empty, Status, StatusCodeData};
use rsp_server::binding::{told_from, told_who, told_why};
use rsp_server::es2plus::{LARGEST_BODY, read, written};
use sha2::{Digest, Sha256};

use crate::es9plus::SmDp;
use crate::order::{Confirmation, FinalProfileStatus, MatchingId, OrderError};
use crate::profile::{Profile, ProfileState, UnixTime};
use crate::status::EXECUTION_ERROR;
use crate::store::{Answered, Changes, StoreError};

/// An operator that may order profiles here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// functionRequesterIdentifier.
    pub identifier: String,
    /// The host name or address in its certificates.
    pub certificate_name: String,
    /// Its URL for progress notifications, up to but without `/gsma/rsp2/es2plus`.
    pub progress_url: Option<String>,
}

impl Operator {
    /// An operator whose identifier is the name in its certificates.
    pub fn named(name: impl Into<String>) -> Self {
        let identifier = name.into();
        Self { certificate_name: identifier.clone(), identifier, progress_url: None }
    }
}

/// Why a call was not executed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Refused, with the status for the operator.
    #[error("{0}")]
    Status(StatusCodeData),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<StatusCodeData> for Refused {
    fn from(status: StatusCodeData) -> Self {
        Self::Status(status)
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self::Status(status.into())
    }
}

/// A function of ES2+, as an SM-DP+ executes it.
trait Execute: Function + Send + Sync + 'static {
    /// The response to `operator`, and the profile as it is then. It may be executed several times, until there is no
    /// concurrent change; it changes nothing itself.
    fn execute(
        &self,
        smdp: &SmDp,
        operator: &str,
        now: UnixTime,
    ) -> impl Future<Output = Result<(Self::Response, Profile), Refused>> + Send;
}

impl Execute for DownloadOrderRequest {
    async fn execute(
        &self,
        smdp: &SmDp,
        operator: &str,
        now: UnixTime,
    ) -> Result<(DownloadOrderResponse, Profile), Refused> {
        smdp.download_order(operator, self, now).await
    }
}

impl Execute for ConfirmOrderRequest {
    async fn execute(
        &self,
        smdp: &SmDp,
        operator: &str,
        now: UnixTime,
    ) -> Result<(ConfirmOrderResponse, Profile), Refused> {
        smdp.confirm_order(operator, self, &mut |octets: &mut [u8]| smdp.system().fill_random(octets), now).await
    }
}

impl Execute for CancelOrderRequest {
    async fn execute(&self, smdp: &SmDp, operator: &str, now: UnixTime) -> Result<(Empty, Profile), Refused> {
        smdp.cancel_order(operator, self, now).await
    }
}

impl Execute for ReleaseProfileRequest {
    async fn execute(&self, smdp: &SmDp, operator: &str, now: UnixTime) -> Result<(Empty, Profile), Refused> {
        smdp.release_profile(operator, self, now).await
    }
}

impl SmDp {
    /// ES2+.DownloadOrder, called by `operator`.
    pub async fn download_order(
        &self,
        operator: &str,
        request: &DownloadOrderRequest,
        now: UnixTime,
    ) -> Result<(DownloadOrderResponse, Profile), Refused> {
        let DownloadOrderRequest { eid, iccid, profile_type } = request;
        let mut profile = match (iccid, profile_type) {
            (Some(iccid), _) => {
                let profile = self.of(operator, iccid).await?;
                // A profile that cannot be downloaded is not ordered.
                self.store().package(iccid).await?;
                profile
            }
            (None, Some(name)) => match self.store().available_profile(name, Some(operator)).await? {
                Some(profile) => profile,
                None => return Err(self.none_of_type(operator, name).await?),
            },
            (None, None) => return Err(status::ICCID_MISSING.into()),
        };
        if profile_type.as_ref().is_some_and(|wanted| profile.profile_type.as_ref() != Some(wanted)) {
            return Err(status::PROFILE_TYPE_MISMATCH.into());
        }
        profile.reserve(Some(operator.to_owned()), *eid, now).map_err(|error| match error {
            OrderError::WrongState { .. } => explained(status::PROFILE_IN_USE, &error.to_string()),
            other => refused(&other),
        })?;
        Ok((DownloadOrderResponse { iccid: profile.iccid().clone() }, profile))
    }

    /// ES2+.ConfirmOrder, called by `operator`.
    pub async fn confirm_order(
        &self,
        operator: &str,
        request: &ConfirmOrderRequest,
        fill_random: &mut (impl FnMut(&mut [u8]) + Send),
        now: UnixTime,
    ) -> Result<(ConfirmOrderResponse, Profile), Refused> {
        if request.smds_address.as_deref().is_some_and(|address| !address.is_empty()) {
            return Err(explained(status::SMDS_UNAVAILABLE, "this SM-DP+ registers no events"));
        }
        let mut profile = self.ordered_by(operator, &request.iccid).await?;
        let confirmation = Confirmation {
            eid: request.eid,
            matching_id: match request.matching_id.as_deref() {
                None => MatchingId::Generate,
                Some("") => MatchingId::ByEid,
                Some(text) => MatchingId::Given(text.to_owned()),
            },
            confirmation_code: request.confirmation_code.clone(),
            expires_at: None,
            reusable: false,
        };
        if let MatchingId::Given(text) = &confirmation.matching_id {
            let other = self.store().profile_by_matching_id(text).await?;
            if other.is_some_and(|other| other.iccid() != profile.iccid()) {
                return Err(status::MATCHING_ID_IN_USE.into());
            }
        }
        profile.confirm(confirmation, fill_random, now).map_err(|error| refused(&error))?;
        if request.release_flag {
            profile.release(now).map_err(|error| refused(&error))?;
        }
        let response = ConfirmOrderResponse {
            // An eUICC may have a malformed EID, which does not fit a field for EIDs.
            eid: profile.order.eid.filter(Eid::is_valid),
            matching_id: profile.order.matching_id.clone().unwrap_or_default(),
            smdp_address: Some(self.settings().address.clone()),
        };
        Ok((response, profile))
    }

    /// ES2+.CancelOrder, called by `operator`.
    pub async fn cancel_order(
        &self,
        operator: &str,
        request: &CancelOrderRequest,
        now: UnixTime,
    ) -> Result<(Empty, Profile), Refused> {
        let mut profile = self.ordered_by(operator, &request.iccid).await?;
        // CancelOrder is compared with the order as it is: missing data is missing, other data belongs to another
        // order.
        match (profile.order.eid, request.eid) {
            (Some(reserved_for), Some(eid)) if reserved_for != eid => {
                return Err(refused(&profile.other_eid(reserved_for)));
            }
            (Some(_), None) if profile.order.names_eid => {
                return Err(refused(&OrderError::EidUnnamed(profile.iccid().clone())));
            }
            (None, Some(_)) => return Err(explained(status::EID_MISMATCH, "the order names no eUICC")),
            _ => {}
        }
        match (profile.order.matching_id.as_deref(), request.matching_id.as_deref()) {
            (Some(_), None | Some("")) => return Err(status::MATCHING_ID_MISSING.into()),
            (of_order, Some(given)) if given != of_order.unwrap_or_default() => {
                return Err(status::MATCHING_ID_MISMATCH.into());
            }
            _ => {}
        }
        let becomes = match request.final_profile_status_indicator {
            FinalProfileStatusIndicator::Available => FinalProfileStatus::Available,
            FinalProfileStatusIndicator::Unavailable => FinalProfileStatus::Unavailable,
        };
        let is_on_euicc = profile.state.is_on_euicc();
        profile.cancel(becomes, now).map_err(|error| {
            if is_on_euicc { explained(status::PROFILE_IN_USE, &error.to_string()) } else { refused(&error) }
        })?;
        Ok((Empty {}, profile))
    }

    /// ES2+.ReleaseProfile, called by `operator`.
    pub async fn release_profile(
        &self,
        operator: &str,
        request: &ReleaseProfileRequest,
        now: UnixTime,
    ) -> Result<(Empty, Profile), Refused> {
        let mut profile = self.ordered_by(operator, &request.iccid).await?;
        profile.release(now).map_err(|error| refused(&error))?;
        Ok((Empty {}, profile))
    }

    /// Executes a call once: a repetition gets the original answer, whatever the profile's state is by now.
    async fn once<F: Execute>(&self, header: &RequestHeader, function: &F, now: UnixTime) -> Result<String, Refused> {
        let RequestHeader { function_requester_identifier: requester, function_call_identifier: call } = header;
        let digest: [u8; 32] =
            Sha256::new_with_prefix(F::PATH).chain_update(es2plus::request(header, function)).finalize().into();
        for _ in 0..PERSISTENCE {
            if let Some(answer) = self.store().answer_to(requester, call, &digest).await? {
                tracing::info!(call = %Discreet(call), "repeated call: same answer");
                return Ok(answer);
            }
            let (response, profile) = function.execute(self, requester, now).await?;
            let answer = es9::success(&response);
            let answered =
                Answered { requester: requester.clone(), call: call.clone(), digest, answer, answered_at: now };
            let changes = Changes { profile: Some(&profile), answered: Some(&answered), ..Changes::default() };
            match self.apply(&changes).await {
                Ok(()) => {
                    let call = Discreet(call);
                    tracing::info!(%call, iccid = ?profile.iccid(), state = %profile.state, "executed");
                    return Ok(answered.answer);
                }
                // A concurrent request took the profile, or answered the same call.
                Err(StoreError::Conflict(_)) => {}
                Err(StoreError::Exists(_)) => return Err(status::MATCHING_ID_IN_USE.into()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict("the profile").into())
    }

    /// A profile that `operator` may order.
    async fn of(&self, operator: &str, iccid: &identities::Iccid) -> Result<Profile, Refused> {
        let profile = self.store().profile(iccid).await?.ok_or(status::PROFILE_UNKNOWN)?;
        let others = |whose: &Option<String>| whose.as_ref().is_some_and(|whose| whose != operator);
        if others(&profile.operator) || others(&profile.order.operator) {
            return Err(status::PROFILE_NOT_ALLOWED.into());
        }
        Ok(profile)
    }

    /// A profile that `operator` has ordered, or could have ordered.
    async fn ordered_by(&self, operator: &str, iccid: &identities::Iccid) -> Result<Profile, Refused> {
        let profile = self.of(operator, iccid).await?;
        let is_ordered = !matches!(profile.state, ProfileState::Available | ProfileState::Unavailable);
        if is_ordered && profile.order.operator.is_none() {
            return Err(explained(status::PROFILE_NOT_ALLOWED, "it was ordered at the SM-DP+ itself"));
        }
        Ok(profile)
    }

    /// Why there is no profile of a type for `operator`.
    async fn none_of_type(&self, operator: &str, name: &str) -> Result<Refused, Refused> {
        let owners = self.store().owners_of_type(name).await?;
        let is_open_to_it = owners.iter().any(|owner| owner.as_ref().is_none_or(|owner| owner == operator));
        Ok(match (owners.is_empty(), is_open_to_it) {
            (true, _) => status::PROFILE_TYPE_UNKNOWN.into(),
            (_, false) => status::PROFILE_TYPE_NOT_ALLOWED.into(),
            _ => status::PROFILE_TYPE_UNAVAILABLE.into(),
        })
    }
}

/// Retries after a concurrent change of the same profile: each time one of the requests succeeds, and as many orders of
/// one type may compete for the same next profile.
const PERSISTENCE: u32 = 200;

/// The status for the operator if an order cannot continue. SGP.22 §5.3
fn refused(error: &OrderError) -> Refused {
    let status = match error {
        OrderError::UnknownProfile(_) => status::PROFILE_UNKNOWN,
        OrderError::NoneOfType(_) => status::PROFILE_TYPE_UNAVAILABLE,
        OrderError::WrongState { .. } | OrderError::NotReusable { .. } => status::PROFILE_INVALID_TRANSITION,
        OrderError::OtherEid { .. } => status::EID_MISMATCH,
        OrderError::EmptyConfirmationCode => status::CONFIRMATION_CODE_INVALID,
        OrderError::BadMatchingId(_) => status::MATCHING_ID_INVALID,
        OrderError::MatchingIdInUse(_) => status::MATCHING_ID_IN_USE,
        OrderError::EidMissing | OrderError::EidUnnamed(_) => status::EID_MISSING,
        OrderError::Profile(_) | OrderError::Store(_) => EXECUTION_ERROR,
    };
    explained(status, &error.to_string())
}

/// A refusal with its cause.
fn explained(status: Status, why: &str) -> Refused {
    rsp_server::es2plus::explained(status, why).into()
}

/// The ES2+ functions under their paths, for a server that requires client certificates.
pub fn router(smdp: Arc<SmDp>, operators: Vec<Operator>) -> Router {
    Router::new()
        .route(DownloadOrderRequest::PATH, post(handle::<DownloadOrderRequest>))
        .route(ConfirmOrderRequest::PATH, post(handle::<ConfirmOrderRequest>))
        .route(CancelOrderRequest::PATH, post(handle::<CancelOrderRequest>))
        .route(ReleaseProfileRequest::PATH, post(handle::<ReleaseProfileRequest>))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn(told_from))
        .with_state(Arc::new(Endpoint { smdp, operators }))
}

struct Endpoint {
    smdp: Arc<SmDp>,
    operators: Vec<Operator>,
}

type Shared = State<Arc<Endpoint>>;
type Shown = Option<Extension<PeerCertificate>>;

impl Endpoint {
    /// The request, if its functionRequesterIdentifier matches the client certificate.
    fn admit<F: Function>(&self, shown: &Shown, headers: &HeaderMap, body: &[u8]) -> Result<Request<F>, Refused> {
        let shown = shown.as_ref().ok_or(status::REQUESTER_NOT_ALLOWED)?;
        let request = read::<F>(headers, body)?;
        let claimed = &request.header.function_requester_identifier;
        told_who(claimed);
        let operator = self.operators.iter().find(|operator| operator.identifier == *claimed);
        let why = match operator {
            Some(operator) if tls::is_named(&shown.0.0, &operator.certificate_name) => return Ok(request),
            Some(_) => "its certificate is made out to another name",
            None => "no operator of this name may order here",
        };
        told_why(why);
        Err(status::REQUESTER_NOT_ALLOWED.into())
    }
}

async fn handle<F: Execute>(State(endpoint): Shared, shown: Shown, headers: HeaderMap, Whole(body): Whole) -> Response {
    let outcome = async {
        let Request { header, body } = &endpoint.admit::<F>(&shown, &headers, &body)?;
        endpoint.smdp.once(header, body, endpoint.smdp.system().now()).await
    };
    written::<F>(outcome.await.map_err(|refused| match refused {
        Refused::Status(status) => status,
        Refused::Store(error) => {
            tracing::error!(error = %Discreet(&error), "ES2+");
            EXECUTION_ERROR.into()
        }
    }))
}
