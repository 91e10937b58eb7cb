//! A bound profile package under way: a stream of octets, from secure channel to staged profile. SGP.22 §2.5.4, §5.5.
//!
//! An element is the header of a container, or a segment. An LPA sends each by itself; what it sends is taken as a stream of
//! octets wherever it is cut, for not all cut alike. Every segment is verified, decrypted and used as soon as it is whole.

use super::profiles;
use super::server::{Prepared, Server};
use super::{item, kept, keys};
use crate::profile::{self, Interpreter, Limits};
use apdu::tlv::{Header, Tag};
use card_os::Context;
use crypto::bsp::{BspError, SessionKeys, Unprotector};
use crypto::ec::{Curve, PublicKey};
use crypto::key_log::KeySet;
use crypto::provider::Provider;
use identities::Iccid;
use rsp::Raw;
use rsp::es8::{
    BoundProfilePackage, ConfigureIsdpRequest, INITIALISE_SECURE_CHANNEL, InitialiseSecureChannelRequest, RemoteOpId,
    ReplaceSessionKeysRequest, StoreMetadataRequest,
};
use rsp::es10::Es10Function;
use rsp::metadata::{NotificationEvent, PprIds, ProfileClass};
use rsp::notification::{BppCommandId, ErrorReason};
use rsp::rat::{Authorisation, GetRatResponse};
use saip::EuiccResponse;
use zeroize::Zeroizing;

/// Bytes the metadata may have; its largest part is an icon of 1024.
const LONGEST_METADATA: usize = 4096;
/// Bytes `DpProprietaryData` may have, its tag and length included. SGP.22 §5.5.2.
const LONGEST_DP_PROPRIETARY_DATA: usize = 128;

/// Bytes that stay free beside the domain, the metadata and the notifications of an installation: for the record, the
/// result, and for what is to be reported later.
const BESIDE_THE_PROFILE: usize = 4096;

const BOUND_PROFILE_PACKAGE: Tag = BoundProfilePackage::TAG;
const SEGMENT_86: Tag = Tag(0x86);
const SEGMENT_87: Tag = Tag(0x87);
const SEGMENT_88: Tag = Tag(0x88);

/// The four parts of a package behind the secure channel request: container, segments, name in results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    ConfigureIsdp,
    StoreMetadata,
    ReplaceSessionKeys,
    LoadProfileElements,
}

impl Part {
    const fn container(self) -> Tag {
        match self {
            Self::ConfigureIsdp => Tag(0xA0),
            Self::StoreMetadata => Tag(0xA1),
            Self::ReplaceSessionKeys => Tag(0xA2),
            Self::LoadProfileElements => Tag(0xA3),
        }
    }

    const fn segment(self) -> Tag {
        match self {
            Self::ConfigureIsdp | Self::ReplaceSessionKeys => SEGMENT_87,
            Self::StoreMetadata => SEGMENT_88,
            Self::LoadProfileElements => SEGMENT_86,
        }
    }

    const fn command_id(self) -> BppCommandId {
        match self {
            Self::ConfigureIsdp => BppCommandId::CONFIGURE_ISDP,
            Self::StoreMetadata => BppCommandId::STORE_METADATA,
            Self::ReplaceSessionKeys => BppCommandId::REPLACE_SESSION_KEYS,
            Self::LoadProfileElements => BppCommandId::LOAD_PROFILE_ELEMENTS,
        }
    }

    /// The parts that may follow.
    const fn next(self) -> &'static [Self] {
        match self {
            Self::ConfigureIsdp => &[Self::StoreMetadata],
            Self::StoreMetadata => &[Self::ReplaceSessionKeys, Self::LoadProfileElements],
            Self::ReplaceSessionKeys => &[Self::LoadProfileElements],
            Self::LoadProfileElements => &[],
        }
    }
}

/// Whether a tag begins an element of a bound profile package.
pub(super) const fn is_part_of_package(tag: Tag) -> bool {
    matches!(tag, INITIALISE_SECURE_CHANNEL | BOUND_PROFILE_PACKAGE | Tag(0x86..=0x88 | 0xA0..=0xA3))
}

/// What the stream is at.
#[derive(Clone, Copy)]
enum At {
    /// Tag and length of the package.
    Package,
    /// The secure channel request.
    Channel,
    /// Tag and length of one of these parts.
    Container(&'static [Part]),
    /// The segments of a part, so many bytes of it still to come.
    Segments(Part, usize),
}

/// A bound profile package under way.
pub(super) struct Loading {
    pub(super) server: Box<Server>,
    pub(super) prepared: Box<Prepared>,
    at: At,
    longest_segment: usize,
    /// Bytes of the package still to come, those of the element under way included.
    package_left: usize,
    /// The beginning of an element whose rest comes with the next piece.
    begun: Vec<u8>,
    /// Whether the LPA cuts elsewhere than between elements.
    cuts_anywhere: bool,
    /// Whether it had not done so before what is begun.
    is_first_cut: bool,
    channel: Option<Unprotector>,
    /// Data of the part under way.
    collected: Zeroizing<Vec<u8>>,
    /// Segments of the part under way.
    segments: usize,
    pub(super) dp_proprietary_data: Option<Vec<u8>>,
    pub(super) metadata: Option<(StoreMetadataRequest, Vec<u8>)>,
    interpreter: Option<Interpreter>,
    /// What has become of the package, where that could not be written down: the next attempt writes it.
    pub(super) outcome: Option<Outcome>,
}

/// A profile, or why there is none.
pub(super) type Outcome = Result<Box<profile::Profile>, Failed>;

/// Why and where a package failed.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) command: BppCommandId,
    pub(super) reason: ErrorReason,
    pub(super) response: Option<EuiccResponse>,
}

/// What was taken of a piece.
enum Taken {
    /// A whole element.
    Whole,
    /// The last one.
    Last(Box<profile::Profile>),
    /// Nothing: an element begins here, of this many bytes if that is known.
    Begun(Option<usize>),
}

impl Failed {
    /// Whether a signature or a MAC was wrong.
    fn is_about_authenticity(&self) -> bool {
        matches!(self.reason, ErrorReason::SCP03T_SECURITY_ERROR | ErrorReason::INVALID_SIGNATURE)
    }

    pub(super) const fn new(command: BppCommandId, reason: ErrorReason) -> Self {
        Self { command, reason, response: None }
    }
}

impl Loading {
    /// A package that has not begun. Its segments have no more than `longest_segment` octets.
    pub(super) fn new(server: Box<Server>, prepared: Box<Prepared>, longest_segment: usize) -> Self {
        Self {
            server,
            prepared,
            at: At::Package,
            longest_segment,
            package_left: 0,
            begun: Vec::new(),
            cuts_anywhere: false,
            is_first_cut: false,
            channel: None,
            collected: Zeroizing::default(),
            segments: 0,
            dp_proprietary_data: None,
            metadata: None,
            interpreter: None,
            outcome: None,
        }
    }

    /// The same again, as long as that costs nothing: while the secure channel is not there. No piece writes anything from
    /// then on until the [outcome](Self::outcome).
    pub(super) fn copy(&self) -> Option<Box<Self>> {
        let copy = || Self {
            at: self.at,
            package_left: self.package_left,
            begun: self.begun.clone(),
            cuts_anywhere: self.cuts_anywhere,
            is_first_cut: self.is_first_cut,
            ..Self::new(self.server.clone(), self.prepared.clone(), self.longest_segment)
        };
        self.channel.is_none().then(|| Box::new(copy()))
    }

    /// The command that the next piece belongs to.
    pub(super) fn command(&self) -> BppCommandId {
        self.whose_fault().0
    }

    pub(super) fn is_within_element(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Takes a piece; gives the profile when the package is complete.
    pub(super) fn take(
        &mut self,
        piece: &[u8],
        cx: &mut Context<'_, '_>,
        provider: &dyn Provider,
    ) -> Result<Option<Box<profile::Profile>>, Failed> {
        /// Elements in one piece that the specification's own cuts can make: a header and what it is the header of.
        const USUAL: usize = 2;
        if piece.is_empty() {
            let (command, malformed) = self.whose_fault();
            return Err(Failed::new(command, malformed));
        }
        let mut octets = core::mem::take(&mut self.begun);
        // An LPA that sent only whole elements and continues with a whole one has lost the rest of the one before: the package
        // lacks these octets and would never end.
        if !octets.is_empty() && self.is_first_cut && self.is_whole_segment(piece) {
            let (command, malformed) = self.whose_fault();
            return Err(Failed::new(command, malformed));
        }
        let seems_cut_off = !octets.is_empty() && self.is_like_an_element(piece);
        octets.extend_from_slice(piece);
        let (mut rest, mut elements) = (octets.as_slice(), 0);
        while !rest.is_empty() {
            let (command, malformed) = self.whose_fault();
            match self.next_element(&mut rest, cx, provider) {
                Ok(Taken::Whole) => elements += 1,
                Ok(Taken::Last(profile)) => return Ok(Some(profile)),
                Ok(Taken::Begun(length)) => {
                    self.cuts_anywhere |= elements > USUAL;
                    // An LPA that sent only whole elements has nothing more to send after the last one, and would never get
                    // a result.
                    if length == Some(self.package_left) && !self.cuts_anywhere {
                        return Err(Failed::new(command, malformed));
                    }
                    self.is_first_cut = !self.cuts_anywhere;
                    self.cuts_anywhere = true;
                    self.begun = rest.to_vec();
                    return Ok(None);
                }
                // What another element was taken for the end of.
                Err(failed) if seems_cut_off && elements == 0 && failed.is_about_authenticity() => {
                    return Err(Failed::new(command, malformed));
                }
                Err(failed) => return Err(failed),
            }
        }
        self.cuts_anywhere |= elements > USUAL;
        Ok(None)
    }

    /// Takes one element off `rest`, if it is whole.
    fn next_element(
        &mut self,
        rest: &mut &[u8],
        cx: &mut Context<'_, '_>,
        provider: &dyn Provider,
    ) -> Result<Taken, Failed> {
        let (command, malformed) = self.whose_fault();
        let fault = || Failed::new(command, malformed);
        let Some(header) = Header::parse(rest).map_err(|_| fault())? else {
            return if self.expects_beginning(rest) { Ok(Taken::Begun(None)) } else { Err(fault()) };
        };
        let (_, behind_header) = rest.split_at_checked(header.header_length).ok_or_else(fault)?;
        match self.at {
            At::Package => {
                if header.tag != BOUND_PROFILE_PACKAGE {
                    return Err(fault());
                }
                self.package_left = header.value_length;
                *rest = behind_header;
                self.at = At::Channel;
            }
            At::Channel => {
                let Some(element) = self.element(rest, header, INITIALISE_SECURE_CHANNEL, usize::MAX)? else {
                    return Ok(Taken::Begun(Some(header.total_length())));
                };
                self.initialise_secure_channel(element, cx, provider)?;
                self.at = At::Container(&[Part::ConfigureIsdp]);
            }
            At::Container(parts) => {
                let part = parts.iter().find(|part| part.container() == header.tag).ok_or_else(fault)?;
                if header.total_length() > self.package_left || header.value_length == 0 {
                    return Err(Failed::new(part.command_id(), ErrorReason::SCP03T_STRUCTURE_ERROR));
                }
                self.package_left -= header.header_length;
                *rest = behind_header;
                self.collected.clear();
                self.segments = 0;
                if *part == Part::LoadProfileElements {
                    self.start_interpreter(cx)?;
                }
                self.at = At::Segments(*part, header.value_length);
            }
            At::Segments(part, left) => {
                let Some(segment) = self.element(rest, header, part.segment(), left)? else {
                    return Ok(Taken::Begun(Some(header.total_length())));
                };
                self.open_segment(part, segment)?;
                let left = left - segment.len();
                self.at = At::Segments(part, left);
                if left == 0 {
                    if let Some(profile) = self.part_complete(part, rest.is_empty(), cx, provider)? {
                        return Ok(Taken::Last(Box::new(profile)));
                    }
                    self.at = At::Container(part.next());
                }
            }
        }
        if self.package_left == 0 {
            // The package ends before its profile.
            let (command, reason) = self.whose_fault();
            return Err(Failed::new(command, reason));
        }
        Ok(Taken::Whole)
    }

    /// Whether an element that may come next can begin with these octets, too few to tell its length.
    fn expects_beginning(&self, octets: &[u8]) -> bool {
        let begins = |tag: Tag| {
            let tag = tag.0.to_be_bytes();
            let tag = tag.iter().skip_while(|octet| **octet == 0);
            tag.zip(octets).all(|(expected, octet)| expected == octet)
        };
        match self.at {
            At::Package => begins(BOUND_PROFILE_PACKAGE),
            At::Channel => begins(INITIALISE_SECURE_CHANNEL),
            At::Container(parts) => parts.iter().any(|part| begins(part.container())),
            At::Segments(part, _) => begins(part.segment()),
        }
    }

    /// Whether a piece looks as if an element began with it.
    fn is_like_an_element(&self, piece: &[u8]) -> bool {
        let header = Header::parse(piece).ok().flatten();
        header.is_some_and(|header| is_part_of_package(header.tag) && header.total_length() <= self.package_left)
    }

    /// Whether a piece is one segment of the part under way, no more and no less.
    fn is_whole_segment(&self, piece: &[u8]) -> bool {
        let At::Segments(part, _) = self.at else { return false };
        let header = Header::parse(piece).ok().flatten();
        header.is_some_and(|header| header.tag == part.segment() && header.total_length() == piece.len())
    }

    /// Where a malformed element would be reported, and how.
    fn whose_fault(&self) -> (BppCommandId, ErrorReason) {
        match self.at {
            At::Package | At::Channel => (BppCommandId::INITIALISE_SECURE_CHANNEL, ErrorReason::INCORRECT_INPUT_VALUES),
            At::Container(parts) => {
                // The last one is the one that must not be missing.
                let part = parts.last().copied().unwrap_or(Part::LoadProfileElements);
                (part.command_id(), ErrorReason::SCP03T_STRUCTURE_ERROR)
            }
            At::Segments(Part::StoreMetadata, _) if self.segments > 0 => {
                (BppCommandId::STORE_METADATA2, ErrorReason::SCP03T_STRUCTURE_ERROR)
            }
            At::Segments(part, _) => (part.command_id(), ErrorReason::SCP03T_STRUCTURE_ERROR),
        }
    }

    /// Takes the element with this header off `rest`; `None` if some of it is still to come.
    fn element<'p>(
        &mut self,
        rest: &mut &'p [u8],
        header: Header,
        tag: Tag,
        room: usize,
    ) -> Result<Option<&'p [u8]>, Failed> {
        let length = header.total_length();
        let fits = (tag == INITIALISE_SECURE_CHANNEL || length <= self.longest_segment)
            && length <= room
            && length <= self.package_left;
        if header.tag != tag || !fits {
            let (command, reason) = self.whose_fault();
            return Err(Failed::new(command, reason));
        }
        let Some((element, behind)) = rest.split_at_checked(length) else { return Ok(None) };
        self.package_left -= length;
        *rest = behind;
        Ok(Some(element))
    }

    /// ES8+.InitialiseSecureChannel, SGP.22 §5.5.1.
    fn initialise_secure_channel(
        &mut self,
        request: &[u8],
        cx: &mut Context<'_, '_>,
        provider: &dyn Provider,
    ) -> Result<(), Failed> {
        let fail = |reason| Failed::new(BppCommandId::INITIALISE_SECURE_CHANNEL, reason);
        let incorrect = || fail(ErrorReason::INCORRECT_INPUT_VALUES);
        let raw = Raw::<InitialiseSecureChannelRequest>::from_octets(request).map_err(|_| incorrect())?;
        let request = raw.decode().map_err(|_| incorrect())?;
        let signed =
            InitialiseSecureChannelRequest::smdp_sign_input(&raw, &self.prepared.otpk).map_err(|_| incorrect())?;
        provider
            .verify(&self.prepared.smdp_key, &signed, request.smdp_sign.octets())
            .map_err(|_| fail(ErrorReason::INVALID_SIGNATURE))?;
        if request.transaction_id != self.server.transaction_id {
            return Err(fail(ErrorReason::INVALID_TRANSACTION_ID));
        }
        if !request.control_ref_template.is_supported() {
            return Err(fail(ErrorReason::UNSUPPORTED_CRT_VALUES));
        }
        if request.remote_op_id != RemoteOpId::INSTALL_BOUND_PROFILE_PACKAGE {
            return Err(fail(ErrorReason::UNSUPPORTED_REMOTE_OPERATION_TYPE));
        }
        let otpk = PublicKey::from_sec1(Curve::P256, request.smdp_otpk.octets()).map_err(|_| incorrect())?;
        let eid = keys::eid(cx).map_err(|_| fail(ErrorReason::UNKNOWN_ERROR))?;
        let secret = provider.agree(self.prepared.one_time_key.private_key(), &otpk);
        let session_keys = SessionKeys::derive(&secret, &request.control_ref_template.shared_info(&eid));
        provider.protecting(request.transaction_id.octets(), KeySet::Session, &session_keys);
        self.channel = Some(Unprotector::new(&session_keys));
        Ok(())
    }

    fn start_interpreter(&mut self, cx: &mut Context<'_, '_>) -> Result<(), Failed> {
        let unknown = Failed::new(BppCommandId::LOAD_PROFILE_ELEMENTS, ErrorReason::UNKNOWN_ERROR);
        let test_profile = match &self.metadata {
            Some((metadata, _)) => metadata.profile_class == ProfileClass::TEST,
            None => return Err(unknown),
        };
        let memory = kept::room(cx).saturating_sub(self.beside_the_profile());
        let info = keys::euicc_info2_template(cx).map_err(|_| unknown)?;
        let limits = Limits { memory, test_profile, capability: info.uicc_capability };
        self.interpreter = Some(Interpreter::new(limits));
        Ok(())
    }

    /// Bytes that an installation takes beside the domain: all that is written with it.
    pub(super) fn beside_the_profile(&self) -> usize {
        let Some((metadata, raw)) = &self.metadata else { return BESIDE_THE_PROFILE };
        let recipients = metadata.notification_configuration_info.iter().flatten();
        let reports: usize = recipients
            .filter(|recipient| recipient.profile_management_operation.contains(NotificationEvent::INSTALL))
            .map(|recipient| kept::size_for(&recipient.notification_address))
            .sum();
        BESIDE_THE_PROFILE + raw.len() + reports
    }

    fn open_segment(&mut self, part: Part, segment: &[u8]) -> Result<(), Failed> {
        let command = match part {
            Part::StoreMetadata if self.segments > 0 => BppCommandId::STORE_METADATA2,
            _ => part.command_id(),
        };
        let channel = self.channel.as_mut().ok_or(Failed::new(command, ErrorReason::UNKNOWN_ERROR))?;
        let opened = channel.open(segment).map_err(|error| match error {
            BspError::Structure => Failed::new(command, ErrorReason::SCP03T_STRUCTURE_ERROR),
            BspError::Security => Failed::new(command, ErrorReason::SCP03T_SECURITY_ERROR),
        })?;
        self.segments += 1;
        match (part, &mut self.interpreter) {
            (Part::LoadProfileElements, Some(interpreter)) => interpreter.push(&opened.data).map_err(profile_failed),
            _ if self.collected.len() + opened.data.len() > LONGEST_METADATA => {
                Err(Failed::new(command, ErrorReason::INCORRECT_INPUT_VALUES))
            }
            _ => {
                self.collected.extend_from_slice(&opened.data);
                Ok(())
            }
        }
    }

    /// The last segment of a part was opened: now it means something.
    fn part_complete(
        &mut self,
        part: Part,
        nothing_follows: bool,
        cx: &mut Context<'_, '_>,
        provider: &dyn Provider,
    ) -> Result<Option<profile::Profile>, Failed> {
        let data = core::mem::take(&mut self.collected);
        match part {
            Part::ConfigureIsdp => self.configure_isdp(&data)?,
            Part::StoreMetadata => self.store_metadata(&data, cx)?,
            Part::ReplaceSessionKeys => self.replace_session_keys(&data, provider)?,
            Part::LoadProfileElements => {
                let structure = Failed::new(part.command_id(), ErrorReason::SCP03T_STRUCTURE_ERROR);
                if self.package_left != 0 || !nothing_follows {
                    return Err(structure);
                }
                let mut profile = self.interpreter.take().ok_or(structure)?.finish().map_err(profile_failed)?;
                if cx.is_also_a_sim() {
                    profile::add_sim(&mut profile.image, profile::Seen::AsSim);
                }
                return Ok(Some(profile));
            }
        }
        Ok(None)
    }

    /// ES8+.ConfigureISDP, SGP.22 §5.5.2.
    fn configure_isdp(&mut self, data: &[u8]) -> Result<(), Failed> {
        let incorrect = || Failed::new(BppCommandId::CONFIGURE_ISDP, ErrorReason::INCORRECT_INPUT_VALUES);
        let request: ConfigureIsdpRequest = rsp::decode(data).map_err(|_| incorrect())?;
        if let Some(data) = request.dp_proprietary_data {
            let dp_oid = data.decode().map_err(|_| incorrect())?.dp_oid;
            if dp_oid != self.server.oid || data.octets().len() > LONGEST_DP_PROPRIETARY_DATA {
                return Err(incorrect());
            }
            self.dp_proprietary_data = Some(data.into_octets());
        }
        Ok(())
    }

    /// ES8+.StoreMetadata, SGP.22 §5.5.3.
    fn store_metadata(&mut self, data: &[u8], cx: &mut Context<'_, '_>) -> Result<(), Failed> {
        let fail = |reason| Failed::new(BppCommandId::STORE_METADATA, reason);
        let metadata = StoreMetadataRequest::checked(data).map_err(|_| fail(ErrorReason::INCORRECT_INPUT_VALUES))?;
        let profiles = profiles::profiles(cx);
        // From here on results name the profile.
        self.metadata = Some((metadata.clone(), data.to_vec()));
        if profiles.iter().any(|profile| profile.metadata.iccid == metadata.iccid) {
            return Err(fail(ErrorReason::ICCID_ALREADY_EXISTS_ON_EUICC));
        }
        let info = keys::euicc_info2_template(cx).map_err(|_| fail(ErrorReason::UNKNOWN_ERROR))?;
        let class = metadata.profile_class;
        let supported = match class {
            ProfileClass::OPERATIONAL => true,
            ProfileClass::TEST => info.rsp_capability.contains(rsp::euicc_info::RspCapability::TEST_PROFILE_SUPPORT),
            _ => false,
        };
        if !supported {
            return Err(fail(ErrorReason::UNSUPPORTED_PROFILE_CLASS));
        }
        if let Some(rules) = metadata.profile_policy_rules {
            let rat = cx.get(item::RAT).and_then(|rat| rsp::decode::<GetRatResponse>(rat).ok()).unwrap_or_default();
            let forbidden = info.forbidden_profile_policy_rules.is_some_and(|forbidden| forbidden.intersects(rules));
            let allowed = rat.authorise(rules, metadata.profile_owner.as_ref()) != Authorisation::NotAllowed;
            // PPR1 would lock an operational profile out that is already there. SGP.22 §2.9.2.4.
            let locks_out = rules.contains(PprIds::PPR1) && profiles.iter().any(profiles::Profile::is_operational);
            if forbidden || !allowed || locks_out {
                return Err(fail(ErrorReason::PPR_NOT_ALLOWED));
            }
        }
        Ok(())
    }

    /// ES8+.ReplaceSessionKeys, SGP.22 §5.5.4.
    fn replace_session_keys(&mut self, data: &[u8], provider: &dyn Provider) -> Result<(), Failed> {
        let fail = |reason| Failed::new(BppCommandId::REPLACE_SESSION_KEYS, reason);
        let request: ReplaceSessionKeysRequest =
            rsp::decode(data).map_err(|_| fail(ErrorReason::INCORRECT_INPUT_VALUES))?;
        let key = |octets: &[u8]| <[u8; 16]>::try_from(octets).map_err(|_| fail(ErrorReason::INCORRECT_INPUT_VALUES));
        let (chaining_value, enc, mac) =
            (key(&request.initial_mac_chaining_value)?, key(&request.ppk_enc)?, key(&request.ppk_cmac)?);
        let channel = self.channel.as_mut().ok_or(fail(ErrorReason::UNKNOWN_ERROR))?;
        let keys = SessionKeys::new(chaining_value, enc, mac);
        provider.protecting(self.server.transaction_id.octets(), KeySet::ProfileProtection, &keys);
        channel.replace_session_keys(&keys);
        Ok(())
    }

    pub(super) fn iccid(&self) -> Option<Iccid> {
        self.metadata.as_ref().map(|(metadata, _)| metadata.iccid.clone())
    }
}

fn profile_failed(failure: profile::Failure) -> Failed {
    Failed { command: BppCommandId::LOAD_PROFILE_ELEMENTS, reason: failure.reason, response: failure.response }
}
