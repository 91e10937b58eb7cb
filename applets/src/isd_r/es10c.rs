//! ES10c: managing the profiles. SGP.22 §5.7.15 to §5.7.21.

use super::notifications::notify;
use super::profiles::{self, Profile};
use super::{IsdR, Refresh, item, keys};
use apdu::StatusWord;
use card_os::{Context, DomainId, Outcome, ProactiveCommand};
use rsp::es10c::{
    DeleteProfileRequest, DeleteProfileResponse, DeleteProfileResult, DisableProfileRequest, DisableProfileResponse,
    DisableProfileResult, EnableProfileRequest, EnableProfileResponse, EnableProfileResult, EuiccMemoryResetRequest,
    EuiccMemoryResetResponse, GetEuiccDataRequest, GetEuiccDataResponse, ProfileIdentifier, ProfileInfoListError,
    ProfileInfoListRequest, ProfileInfoListResponse, ResetOptions, ResetResult, SearchCriteria, SetNicknameRequest,
    SetNicknameResponse, SetNicknameResult,
};
use rsp::metadata::{NotificationEvent, PprIds, ProfileClass};

impl IsdR {
    /// ES10c.GetProfilesInfo, SGP.22 §5.7.15.
    pub(super) fn get_profiles_info(
        &mut self,
        request: &ProfileInfoListRequest,
        cx: &mut Context<'_, '_>,
    ) -> Result<ProfileInfoListResponse, StatusWord> {
        let sensible = request.search_criteria.as_ref().is_none_or(SearchCriteria::is_well_formed);
        let Some(tags) = request.tags().filter(|_| sensible) else {
            return Ok(ProfileInfoListResponse::ProfileInfoListError(ProfileInfoListError::INCORRECT_INPUT_VALUES));
        };
        let wanted = |profile: &Profile| match &request.search_criteria {
            None => true,
            Some(SearchCriteria::IsdpAid(aid)) => profile.record.isdp_aid == *aid,
            Some(SearchCriteria::Iccid(iccid)) => profile.metadata.iccid == *iccid,
            Some(SearchCriteria::ProfileClass(class)) => profile.class() == *class,
        };
        let found = profiles::profiles(cx).into_iter().filter(wanted).map(|profile| profile.info(&tags)).collect();
        Ok(ProfileInfoListResponse::ProfileInfoListOk(found))
    }

    /// ES10c.EnableProfile, SGP.22 §5.7.16.
    pub(super) fn enable_profile(
        &mut self,
        request: &EnableProfileRequest,
        cx: &mut Context<'_, '_>,
    ) -> Result<EnableProfileResponse, StatusWord> {
        has_right_size(&request.profile_identifier)?;
        if !self.behaviour.enables.takes(&request.profile_identifier, request.refresh_flag) {
            return Ok(EnableProfileResponse { enable_result: EnableProfileResult::UNDEFINED_ERROR });
        }
        // The way back from a change that was put off: the LPA has heard `ok` to that, so that this makes sense to it.
        let target = profiles::find(cx, &request.profile_identifier);
        if target.is_some_and(|target| target.enabled && is_about_to_go(&target, cx)) {
            cx.remove(item::PENDING_CHANGE);
            return Ok(EnableProfileResponse { enable_result: EnableProfileResult::OK });
        }
        let enable_result = match self.may_enable(request, cx) {
            Ok(target) => {
                self.change(Some(target.record.domain), request.refresh_flag, cx)?;
                EnableProfileResult::OK
            }
            Err(refusal) => refusal,
        };
        Ok(EnableProfileResponse { enable_result })
    }

    fn may_enable(
        &self,
        request: &EnableProfileRequest,
        cx: &mut Context<'_, '_>,
    ) -> Result<Profile, EnableProfileResult> {
        let target =
            profiles::find(cx, &request.profile_identifier).ok_or(EnableProfileResult::ICCID_OR_AID_NOT_FOUND)?;
        if target.enabled && change_under_way(cx).is_some_and(|change| !change.leads_to(&target)) {
            return Err(EnableProfileResult::CAT_BUSY);
        }
        if target.enabled {
            return Err(EnableProfileResult::PROFILE_NOT_IN_DISABLED_STATE);
        }
        if let Some(current) = profiles::enabled(cx) {
            if current.has(PprIds::PPR1) && current.is_operational() && target.is_operational() {
                return Err(EnableProfileResult::DISALLOWED_BY_POLICY);
            }
            // A test profile gives way only to the profile it displaced; one with PPR1 keeps its place against any other.
            let displaced = displaced(cx);
            let displaced = profiles::profiles(cx).into_iter().find(|profile| Some(profile.record.domain) == displaced);
            if let Some(displaced) = displaced.filter(|displaced| displaced.item != target.item)
                && target.is_operational()
            {
                if current.class() == ProfileClass::TEST {
                    return Err(EnableProfileResult::WRONG_PROFILE_REENABLING);
                }
                if displaced.has(PprIds::PPR1) {
                    return Err(EnableProfileResult::DISALLOWED_BY_POLICY);
                }
            }
        }
        if self.is_busy(request.refresh_flag, cx) { Err(EnableProfileResult::CAT_BUSY) } else { Ok(target) }
    }

    /// ES10c.DisableProfile, SGP.22 §5.7.17.
    pub(super) fn disable_profile(
        &mut self,
        request: &DisableProfileRequest,
        cx: &mut Context<'_, '_>,
    ) -> Result<DisableProfileResponse, StatusWord> {
        has_right_size(&request.profile_identifier)?;
        if !self.behaviour.disables.takes(&request.profile_identifier, request.refresh_flag) {
            return Ok(DisableProfileResponse { disable_result: DisableProfileResult::UNDEFINED_ERROR });
        }
        let disable_result = match profiles::find(cx, &request.profile_identifier) {
            None => DisableProfileResult::ICCID_OR_AID_NOT_FOUND,
            // Its enabling was answered `ok` and put off: that is undone. The profile still enabled stays so: nobody
            // asked for a phone without service. No policy rule of the target holds, for it was never enabled.
            // A displaced one comes back because another was disabled, which is not its enabling.
            Some(target) if is_about_to_come(&target, cx) && displaced(cx) != Some(target.record.domain) => {
                cx.remove(item::PENDING_CHANGE);
                DisableProfileResult::OK
            }
            Some(target) if !target.enabled && change_under_way(cx).is_some_and(|change| change.leads_to(&target)) => {
                DisableProfileResult::CAT_BUSY
            }
            Some(target) if !target.enabled => DisableProfileResult::PROFILE_NOT_IN_ENABLED_STATE,
            Some(target) if target.has(PprIds::PPR1) => DisableProfileResult::DISALLOWED_BY_POLICY,
            Some(_) if self.is_busy(request.refresh_flag, cx) => DisableProfileResult::CAT_BUSY,
            Some(target) => {
                // The operational profile that a test or provisioning profile displaced comes back.
                let next = if target.is_operational() { None } else { displaced(cx) };
                self.change(next, request.refresh_flag, cx)?;
                DisableProfileResult::OK
            }
        };
        Ok(DisableProfileResponse { disable_result })
    }

    /// ES10c.DeleteProfile, SGP.22 §5.7.18.
    pub(super) fn delete_profile(
        &mut self,
        request: &DeleteProfileRequest,
        cx: &mut Context<'_, '_>,
    ) -> Result<DeleteProfileResponse, StatusWord> {
        let identifier = ProfileIdentifier::from(request.clone());
        has_right_size(&identifier)?;
        let delete_result = match profiles::find(cx, &identifier) {
            None => DeleteProfileResult::ICCID_OR_AID_NOT_FOUND,
            Some(target)
                if target.enabled || PendingChange::load(cx).is_some_and(|change| change.leads_to(&target)) =>
            {
                DeleteProfileResult::PROFILE_NOT_IN_DISABLED_STATE
            }
            Some(target) if target.has(PprIds::PPR2) => DeleteProfileResult::DISALLOWED_BY_POLICY,
            Some(target) => {
                erase(&target, cx)?;
                DeleteProfileResult::OK
            }
        };
        Ok(DeleteProfileResponse { delete_result })
    }

    /// ES10c.eUICCMemoryReset, SGP.22 §5.7.19. Policy rules do not protect from it.
    pub(super) fn euicc_memory_reset(
        &mut self,
        request: &EuiccMemoryResetRequest,
        cx: &mut Context<'_, '_>,
    ) -> Result<EuiccMemoryResetResponse, StatusWord> {
        let options = request.reset_options;
        let doomed: Vec<Profile> = profiles::profiles(cx)
            .into_iter()
            .filter(|profile| {
                let operational =
                    profile.is_operational() && options.contains(ResetOptions::DELETE_OPERATIONAL_PROFILES);
                let test = profile.class() == ProfileClass::TEST
                    && !profile.record.preloaded
                    && options.contains(ResetOptions::DELETE_FIELD_LOADED_TEST_PROFILES);
                operational || test
            })
            .collect();
        let reset_address = options.contains(ResetOptions::RESET_DEFAULT_SMDP_ADDRESS)
            && cx.get(item::DEFAULT_DP_ADDRESS) != cx.get(item::FACTORY_DP_ADDRESS);
        let reset_result = if doomed.is_empty() && !reset_address {
            ResetResult::NOTHING_TO_DELETE
        } else if self.is_busy(true, cx) {
            ResetResult::CAT_BUSY
        } else {
            let was_enabled = doomed.iter().any(|profile| profile.enabled);
            for profile in &doomed {
                erase(profile, cx)?;
            }
            if was_enabled {
                // What was put off was about the profile that is gone.
                cx.remove(item::PENDING_CHANGE);
                if let Some(domain) = displaced(cx) {
                    switch(Some(domain), cx)?;
                }
                let reset = ProactiveCommand::refresh(ProactiveCommand::UICC_RESET);
                if cx.toolkit_supports(&reset) {
                    cx.proactive(reset)?;
                }
            }
            if reset_address {
                match cx.get(item::FACTORY_DP_ADDRESS).map(<[u8]>::to_vec) {
                    Some(address) => cx.put(item::DEFAULT_DP_ADDRESS, address),
                    None => cx.remove(item::DEFAULT_DP_ADDRESS),
                }
            }
            ResetResult::OK
        };
        Ok(EuiccMemoryResetResponse { reset_result })
    }

    /// ES10c.GetEID, SGP.22 §5.7.20.
    pub(super) fn get_eid(
        &mut self,
        request: &GetEuiccDataRequest,
        cx: &mut Context<'_, '_>,
    ) -> Result<GetEuiccDataResponse, StatusWord> {
        if *request != GetEuiccDataRequest::eid() {
            return Err(StatusWord::WRONG_DATA);
        }
        Ok(GetEuiccDataResponse { eid_value: keys::eid(cx)? })
    }

    /// ES10c.SetNickname, SGP.22 §5.7.21. An empty nickname removes the one that is set.
    pub(super) fn set_nickname(
        &mut self,
        request: &SetNicknameRequest,
        cx: &mut Context<'_, '_>,
    ) -> Result<SetNicknameResponse, StatusWord> {
        has_right_size(&ProfileIdentifier::Iccid(request.iccid.clone()))?;
        let nickname: &str = &request.profile_nickname;
        if nickname.len() > self.behaviour.longest_nickname {
            return Ok(SetNicknameResponse { set_nickname_result: SetNicknameResult::UNDEFINED_ERROR });
        }
        let set_nickname_result = match profiles::by_iccid(cx, &request.iccid) {
            Some(mut profile) => {
                profile.record.nickname = nickname.into();
                profile.store(cx);
                SetNicknameResult::OK
            }
            None => SetNicknameResult::ICCID_NOT_FOUND,
        };
        Ok(SetNicknameResponse { set_nickname_result })
    }

    /// Whether a change of the enabled profile cannot begin: the REFRESH of another one is under way, or the terminal is busy
    /// with a proactive command and this one would need one too.
    fn is_busy(&self, refresh: bool, cx: &Context<'_, '_>) -> bool {
        let needs_one = || profile_state_change(self.behaviour.refresh, cx).is_some();
        change_under_way(cx).is_some() || (refresh && cx.toolkit_busy() && needs_one())
    }

    /// Enables `target`, or no profile. With a REFRESH that the terminal carries out, the change waits for the terminal
    /// to start over; otherwise it is part of this command. One that was put off gives way to it.
    fn change(&mut self, target: Option<DomainId>, refresh: bool, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
        cx.remove(item::PENDING_CHANGE);
        self.before.wants_reset = self.behaviour.reset_after_change;
        if refresh && let Some(command) = profile_state_change(self.behaviour.refresh, cx) {
            PendingChange { target, is_put_off: false }.store(cx);
            return match self.behaviour.refresh {
                Refresh::Always => Ok(cx.proactive_unannounced(command)?),
                _ => Ok(cx.proactive(command)?),
            };
        }
        switch(target, cx)
    }

    /// Carries out the change that waited for the terminal to start over, if there is one.
    pub(super) fn complete_pending_change(&mut self, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
        let Some(change) = PendingChange::load(cx) else { return Ok(()) };
        cx.remove(item::PENDING_CHANGE);
        let active = cx.platform().and_then(|platform| platform.active());
        if change.target == active { Ok(()) } else { switch(change.target, cx) }
    }

    /// The terminal did not carry `refresh` out. The LPA has heard `ok`, so the change still comes: with the next reset,
    /// unless the LPA asks for something else before. One that does not know the mode may know the other one.
    pub(super) fn put_off_pending_change(
        &mut self,
        refresh: &ProactiveCommand,
        outcome: Outcome,
        cx: &mut Context<'_, '_>,
    ) -> Result<(), StatusWord> {
        let Some(change) = PendingChange::load(cx) else { return Ok(()) };
        let reset = ProactiveCommand::refresh(ProactiveCommand::UICC_RESET);
        if outcome == Outcome::Never
            && refresh.qualifier() == ProactiveCommand::EUICC_PROFILE_STATE_CHANGE
            && cx.toolkit_supports(&reset)
            && cx.proactive(reset).is_ok()
        {
            return Ok(());
        }
        PendingChange { is_put_off: true, ..change }.store(cx);
        Ok(())
    }
}

/// In a pending change: the enabled profile is disabled, none takes its place. No profile lives in the platform domain.
const NO_PROFILE: u16 = DomainId::PLATFORM.0;
/// Behind the domain, in a change that was put off.
const PUT_OFF: u8 = 1;

/// A change of the enabled profile that was answered `ok` and waits for the terminal to start over. SGP.22 §5.7.16.
#[derive(Clone, Copy)]
struct PendingChange {
    /// The domain to be active, or none.
    target: Option<DomainId>,
    /// The terminal did not carry out the REFRESH: none is under way, and only a reset is waited for.
    is_put_off: bool,
}

impl PendingChange {
    fn load(cx: &Context<'_, '_>) -> Option<Self> {
        let (domain, rest) = cx.get(item::PENDING_CHANGE)?.split_first_chunk()?;
        let domain = u16::from_be_bytes(*domain);
        let target = (domain != NO_PROFILE).then_some(DomainId(domain));
        Some(Self { target, is_put_off: rest.first() == Some(&PUT_OFF) })
    }

    /// Whether the profile is the one that is enabled then.
    fn leads_to(self, profile: &Profile) -> bool {
        self.target == Some(profile.record.domain)
    }

    fn store(self, cx: &mut Context<'_, '_>) {
        let mut octets = self.target.map_or(NO_PROFILE, |domain| domain.0).to_be_bytes().to_vec();
        if self.is_put_off {
            octets.push(PUT_OFF);
        }
        cx.put(item::PENDING_CHANGE, octets);
    }
}

/// The REFRESH by which this terminal is told that another profile is enabled: in the mode made for that, if TERMINAL
/// PROFILE announces it, else as a reset. `None`: it announces neither, or there was none. TS 102 223 §5.2, §6.4.7.
fn profile_state_change(refresh: Refresh, cx: &Context<'_, '_>) -> Option<ProactiveCommand> {
    match refresh {
        Refresh::Announced => {}
        Refresh::Never => return None,
        Refresh::Always => return Some(ProactiveCommand::refresh(ProactiveCommand::UICC_RESET)),
    }
    [ProactiveCommand::EUICC_PROFILE_STATE_CHANGE, ProactiveCommand::UICC_RESET]
        .map(ProactiveCommand::refresh)
        .into_iter()
        .find(|command| cx.toolkit_supports(command))
}

/// The change that comes when the terminal has carried out the REFRESH it was asked for. `ok` was answered to it: what
/// contradicts it has to wait until the terminal has said what it did.
fn change_under_way(cx: &Context<'_, '_>) -> Option<PendingChange> {
    PendingChange::load(cx).filter(|change| !change.is_put_off)
}

/// Whether the enabled profile gives way to another one, or none, with the next reset.
fn is_about_to_go(enabled: &Profile, cx: &Context<'_, '_>) -> bool {
    PendingChange::load(cx).is_some_and(|change| change.is_put_off && !change.leads_to(enabled))
}

/// Whether the profile, which is not enabled yet, will be with the next reset.
fn is_about_to_come(target: &Profile, cx: &Context<'_, '_>) -> bool {
    !target.enabled
        && PendingChange::load(cx)
            .is_some_and(|change| change.is_put_off && change.target == Some(target.record.domain))
}

/// What has another size than its type allows is no request: `6A80`. SGP.22 §5.7.2.
fn has_right_size(identifier: &ProfileIdentifier) -> Result<(), StatusWord> {
    if identifier.has_right_size() { Ok(()) } else { Err(StatusWord::WRONG_DATA) }
}

fn displaced(cx: &Context<'_, '_>) -> Option<DomainId> {
    let domain = cx.get(item::DISPLACED)?.try_into().ok()?;
    Some(DomainId(u16::from_be_bytes(domain)))
}

/// Changes the enabled profile, with the notifications of both.
fn switch(target: Option<DomainId>, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
    let profiles = profiles::profiles(cx);
    let outgoing = profiles.iter().find(|profile| profile.enabled);
    let incoming = profiles.iter().find(|profile| Some(profile.record.domain) == target);
    if let Some(outgoing) = outgoing {
        notify(cx, outgoing, NotificationEvent::DISABLE, None)?;
    }
    match (outgoing, incoming) {
        (Some(outgoing), Some(incoming)) if outgoing.is_operational() && !incoming.is_operational() => {
            cx.put(item::DISPLACED, outgoing.record.domain.0.to_be_bytes());
        }
        (_, Some(incoming)) if !incoming.is_operational() => {}
        _ => cx.remove(item::DISPLACED),
    }
    activate(incoming.map(|profile| profile.record.domain), cx)?;
    if let Some(incoming) = incoming {
        notify(cx, incoming, NotificationEvent::ENABLE, None)?;
    }
    Ok(())
}

fn activate(domain: Option<DomainId>, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
    cx.platform().ok_or(StatusWord::TECHNICAL_PROBLEM)?.activate(domain);
    Ok(())
}

/// Removes a profile with everything in it; what remains is the notification.
fn erase(profile: &Profile, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
    notify(cx, profile, NotificationEvent::DELETE, None)?;
    if displaced(cx) == Some(profile.record.domain) {
        cx.remove(item::DISPLACED);
    }
    // A change that was put off and has nothing to change to any more.
    if PendingChange::load(cx).is_some_and(|change| change.leads_to(profile)) {
        cx.remove(item::PENDING_CHANGE);
    }
    cx.platform().ok_or(StatusWord::TECHNICAL_PROBLEM)?.delete(profile.record.domain);
    cx.remove(profile.item);
    Ok(())
}
