//! ES10b.LoadBoundProfilePackage: the profile appears in one transaction with the installation result. SGP.22 §5.7.6.
//!
//! The package, as it arrives, is a [`Loading`]; what becomes of it is written here.

use super::loading::{Failed, Loading, Outcome};
use super::profiles::{self, ProfileRecord};
use super::session::Session;
use super::{IsdR, fault, item, kept, notifications};
use crate::profile;
use apdu::StatusWord;
use card_os::Context;
use crypto::provider::Provider;
use rsp::Raw;
use rsp::metadata::NotificationEvent;
use rsp::notification::{
    BppCommandId, ErrorReason, ErrorResult, FinalResult, PendingNotification, ProfileInstallationResult,
    ProfileInstallationResultData, SuccessResult,
};

impl IsdR {
    /// ES10b.LoadBoundProfilePackage, SGP.22 §5.7.6: nothing to say until the package is complete or has failed.
    pub(super) fn load_bound_profile_package(
        &mut self,
        piece: &[u8],
        cx: &mut Context<'_, '_>,
    ) -> Result<Vec<u8>, StatusWord> {
        let mut loading = match core::mem::take(&mut self.session) {
            Session::Prepared(server, prepared) => {
                self.before.session = Some(Session::Prepared(server.clone(), prepared.clone()));
                Box::new(Loading::new(server, prepared, self.behaviour.longest_segment))
            }
            Session::Loading(loading) => {
                self.before.session = loading.copy().map(Session::Loading);
                loading
            }
            other => {
                self.session = other;
                return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
            }
        };
        let outcome = match loading.outcome.take() {
            Some(outcome) => outcome,
            None => match take(&mut loading, piece, cx, &*self.provider)? {
                Ok(None) => {
                    self.session = Session::Loading(loading);
                    return Ok(Vec::new());
                }
                Ok(Some(profile)) => Ok(profile),
                Err(failed) => Err(failed),
            },
        };
        let answer = write_down(&loading, &outcome, cx);
        loading.outcome = Some(outcome);
        self.before.session.get_or_insert(Session::Loading(loading));
        answer
    }
}

/// Takes a piece, unless it is ordered to fail. A refusal leaves the package as it was.
fn take(
    loading: &mut Loading,
    piece: &[u8],
    cx: &mut Context<'_, '_>,
    provider: &dyn Provider,
) -> Result<Result<Option<Box<profile::Profile>>, Failed>, StatusWord> {
    let command = loading.command();
    Ok(match fault::at_command(command, cx)? {
        Some(reason) => Err(Failed::new(command, reason)),
        None => loading.take(piece, cx, provider),
    })
}

/// Writes the outcome of a package, and makes the result for the LPA.
fn write_down(loading: &Loading, outcome: &Outcome, cx: &mut Context<'_, '_>) -> Result<Vec<u8>, StatusWord> {
    let installed = match outcome {
        Ok(profile) => install(loading, profile, cx),
        Err(failed) => Err(failed.clone()),
    };
    match installed {
        Ok((success, profile)) => {
            let result = conclude(loading, FinalResult::SuccessResult(success), cx)?;
            let knows_already = Some(loading.server.address.as_str());
            notifications::notify(cx, &profile, NotificationEvent::INSTALL, knows_already)?;
            Ok(result)
        }
        Err(Failed { command, reason, response }) => {
            let error = ErrorResult {
                bpp_command_id: command,
                error_reason: reason,
                sima_response: response.map(|response| response.encode().into()),
            };
            conclude(loading, FinalResult::ErrorResult(error), cx)
        }
    }
}

/// Writes the staged profile and its record. This is the one copy made of it: memory may not take it.
fn install(
    loading: &Loading,
    profile: &profile::Profile,
    cx: &mut Context<'_, '_>,
) -> Result<(SuccessResult, profiles::Profile), Failed> {
    let fail = |reason| Failed::new(BppCommandId::LOAD_PROFILE_ELEMENTS, reason);
    let Some((metadata, raw_metadata)) = loading.metadata.clone() else {
        return Err(fail(ErrorReason::UNKNOWN_ERROR));
    };
    if profile.iccid != metadata.iccid {
        return Err(fail(ErrorReason::DATA_MISMATCH));
    }
    let others = profiles::profiles(cx);
    let no_room = || fail(ErrorReason::INSUFFICIENT_MEMORY_FOR_PROFILE);
    let item = profiles::free_item(&others).ok_or_else(no_room)?;
    let isdp_aid = profiles::free_isdp_aid(&others);
    let needed = profile.image.size() + loading.beside_the_profile();
    if !kept::make_room(cx, needed) {
        return Err(no_room());
    }
    let mut platform = cx.platform().ok_or(fail(ErrorReason::UNKNOWN_ERROR))?;
    let domain = platform.install(profile.image.clone()).map_err(|_| no_room())?;
    let record = ProfileRecord {
        domain,
        isdp_aid: isdp_aid.clone(),
        ci: loading.server.certification.ci.clone(),
        nickname: String::new(),
        metadata: raw_metadata,
        dp_proprietary_data: loading.dp_proprietary_data.clone(),
        preloaded: false,
    };
    let installed = profiles::Profile { item, record, metadata, enabled: false };
    installed.store(cx);
    Ok((SuccessResult { aid: isdp_aid, sima_response: profile.response.encode().into() }, installed))
}

/// Signs the result, keeps it as a notification, and gives it to the LPA. With it the one-time key has served its purpose: a
/// download that is cut off before goes on with the package that is bound to it. SGP.22 §5.7.5.
fn conclude(loading: &Loading, final_result: FinalResult, cx: &mut Context<'_, '_>) -> Result<Vec<u8>, StatusWord> {
    let server = &loading.server;
    let metadata = notifications::metadata(cx, NotificationEvent::INSTALL, &server.address, loading.iccid());
    let technical = |_| StatusWord::TECHNICAL_PROBLEM;
    let data = ProfileInstallationResultData {
        transaction_id: server.transaction_id.clone(),
        notification_metadata: Raw::encode(&metadata).map_err(technical)?,
        smdp_oid: loading.prepared.smdp_oid.clone(),
        final_result,
    };
    let data = Raw::encode(&data).map_err(technical)?;
    let euicc_sign_pir = server.signer.sign(data.octets()).into();
    let result = ProfileInstallationResult { profile_installation_result_data: data, euicc_sign_pir };
    let result = rsp::encode(&PendingNotification::ProfileInstallationResult(result)).map_err(technical)?;
    kept::keep_installation_result(cx, metadata.seq_number, result.clone());
    cx.remove(item::ONE_TIME_KEY);
    Ok(result)
}
