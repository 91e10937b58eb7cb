//! PINs: VERIFY, CHANGE, DISABLE, ENABLE, UNBLOCK. TS 102 221 §9.5, §11.1.9 to §11.1.13.
//!
//! A try is used up, in non-volatile memory, before the value is compared; cutting the power buys no further one.

use super::{FileNumber, FileSession, FileTree, Route};
use crate::id::DomainId;
use crate::nvm::{Key, Partition, Transaction};
use apdu::{Command, Response, StatusWord};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Reference to a PIN or an administrative key. TS 102 221 table 9.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyReference(pub u8);

impl KeyReference {
    /// PIN of application 1, known as PIN1.
    pub const PIN_APPL_1: Self = Self(0x01);
    /// First administrative key.
    pub const ADM1: Self = Self(0x0A);
    /// Universal PIN.
    pub const UNIVERSAL_PIN: Self = Self(0x11);
    /// Second PIN of application 1, known as PIN2.
    pub const SECOND_PIN_APPL_1: Self = Self(0x81);

    /// Whether each DF may have a key of its own under this reference; the others are the card's.
    pub const fn is_local(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// What may be done to a PIN: the `pinAttributes` of a profile package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinAttributes(pub u8);

impl PinAttributes {
    /// The PIN is enabled when the profile is installed.
    pub const ENABLED: u8 = 0x01;
    /// CHANGE PIN is allowed.
    pub const CHANGEABLE: u8 = 0x02;
    /// DISABLE PIN and ENABLE PIN are allowed.
    pub const DISABLEABLE: u8 = 0x04;

    const fn has(self, attribute: u8) -> bool {
        self.0 & attribute != 0
    }
}

/// A PIN.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin {
    /// Value, padded with `FF`.
    pub value: Zeroizing<[u8; 8]>,
    /// Whether it is asked for.
    pub enabled: bool,
    /// Whether, while it is disabled, the universal PIN is asked for in its place. TS 102 221 §9.4.1.
    pub replaced: bool,
    /// What may be done to it.
    pub attributes: PinAttributes,
    /// Tries left.
    pub tries: u8,
    /// Tries after a success.
    pub maximum_tries: u8,
    /// The PUK that unblocks it.
    pub unblocking: Option<KeyReference>,
}

/// An unblocking PIN.
#[derive(Clone, PartialEq, Eq)]
pub struct Puk {
    /// The PUK as the terminal sends it, eight octets.
    pub value: Zeroizing<[u8; 8]>,
    /// Tries left.
    pub tries: u8,
    /// Tries after a success.
    pub maximum_tries: u8,
}

/// One entry of a DF's PIN configuration.
#[derive(Clone, PartialEq, Eq)]
pub enum PinConfiguration {
    /// A PIN of this DF.
    Pin(KeyReference, Pin),
    /// A PUK of this DF.
    Puk(KeyReference, Puk),
    /// This DF shares the local PINs of another.
    SharedWith(FileNumber),
}

impl PinConfiguration {
    /// Index of the stored entry, for the DF `context`.
    pub(crate) const fn index(&self, context: FileNumber) -> u32 {
        match self {
            Self::Pin(reference, _) => crate::nvm::pin_index(context.0, false, reference.0),
            Self::Puk(reference, _) => crate::nvm::pin_index(context.0, true, reference.0),
            Self::SharedWith(_) => crate::nvm::pin_index(context.0, false, SHARED),
        }
    }

    /// The DF and the entry stored under an index.
    pub(crate) fn from_stored(index: u32, bytes: &[u8]) -> Option<(FileNumber, Self)> {
        let context = FileNumber(u16::try_from(index >> 9).ok()?);
        let [.., reference] = index.to_be_bytes();
        let entry = match (index & 0x100 != 0, reference) {
            (true, _) => Self::Puk(KeyReference(reference), Puk::from_bytes(bytes)?),
            (false, SHARED) => Self::SharedWith(FileNumber(u16::from_be_bytes(bytes.try_into().ok()?))),
            (false, _) => Self::Pin(KeyReference(reference), Pin::from_bytes(bytes)?),
        };
        Some((context, entry))
    }

    /// The stored entry.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Pin(_, pin) => pin.to_bytes(),
            Self::Puk(_, puk) => puk.to_bytes(),
            Self::SharedWith(context) => context.0.to_be_bytes().to_vec(),
        }
    }
}

/// Bit of a stored PIN's state, beside that of an enabled one.
const REPLACED: u8 = 0x02;

/// The security environment in which the application's PIN is to be verified, and the one in which that is disabled: then the
/// universal PIN is, or nothing. TS 102 221 §9.2.7, table "SE ID".
pub(crate) const SE_APPLICATION_PIN: u8 = 0x01;
const SE_UNIVERSAL_PIN: u8 = 0x00;

/// The key reference no PIN has; its entry names the DF whose PINs are shared.
const SHARED: u8 = 0x00;

impl Pin {
    fn to_bytes(&self) -> Vec<u8> {
        let unblocking = self.unblocking.map_or(0, |reference| reference.0);
        let mut bytes = self.value.to_vec();
        let state = u8::from(self.enabled) | if self.replaced { REPLACED } else { 0 };
        bytes.extend([state, self.attributes.0, self.tries, self.maximum_tries, unblocking]);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (value, rest) = bytes.split_first_chunk::<8>()?;
        let [state, attributes, tries, maximum_tries, unblocking] = *rest else { return None };
        Some(Self {
            value: Zeroizing::new(*value),
            enabled: state & !REPLACED != 0,
            replaced: state & REPLACED != 0,
            attributes: PinAttributes(attributes),
            tries,
            maximum_tries,
            unblocking: (unblocking != 0).then_some(KeyReference(unblocking)),
        })
    }
}

impl Puk {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.value.to_vec();
        bytes.extend([self.tries, self.maximum_tries]);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (value, rest) = bytes.split_first_chunk::<8>()?;
        let [tries, maximum_tries] = *rest else { return None };
        Some(Self { value: Zeroizing::new(*value), tries, maximum_tries })
    }
}

impl core::fmt::Debug for PinConfiguration {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Pin(reference, _) => write!(f, "Pin({reference:?})"),
            Self::Puk(reference, _) => write!(f, "Puk({reference:?})"),
            Self::SharedWith(context) => write!(f, "SharedWith({context:?})"),
        }
    }
}

/// The keys verified since the last reset: by DF that defines them and reference. They hold on every channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verified(Vec<(FileNumber, KeyReference)>);

impl Verified {
    fn contains(&self, context: FileNumber, reference: KeyReference) -> bool {
        self.0.contains(&(context, reference))
    }
    pub(crate) fn set(&mut self, context: FileNumber, reference: KeyReference, verified: bool) {
        self.0.retain(|entry| *entry != (context, reference));
        if verified {
            self.0.push((context, reference));
        }
    }
    /// Forgets the local keys below an ADF whose application session has ended on its last channel.
    pub(crate) fn end_session(&mut self, tree: &FileTree, adf: FileNumber) {
        self.0.retain(|(context, reference)| {
            let below = Route::of(*context).upwards(tree).any(|at| at == adf);
            !(reference.is_local() && below)
        });
    }
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The PINs of a domain, read from memory.
#[derive(Clone, Copy)]
pub(crate) struct Pins<'a, 'nvm> {
    pub(crate) nvm: &'a Transaction<'nvm>,
    pub(crate) tree: &'a FileTree,
    pub(crate) domain: DomainId,
}

impl Pins<'_, '_> {
    /// The PIN a reference means for files of the directory at the end of `route`, and the DF that defines it: the nearest
    /// one upwards for a local reference, the MF for a global one.
    pub(crate) fn find(&self, route: &Route, reference: KeyReference) -> Option<(FileNumber, Pin)> {
        let in_context = |context| {
            let owner = self.shared_with(context);
            Some((owner, self.entry(owner, false, reference).and_then(Pin::from_bytes)?))
        };
        if reference.is_local() { route.upwards(self.tree).find_map(in_context) } else { in_context(FileNumber::MF) }
    }

    pub(crate) fn find_puk(&self, mut context: FileNumber, reference: KeyReference) -> Option<(FileNumber, Puk)> {
        loop {
            if let Some(puk) = self.entry(context, true, reference).and_then(Puk::from_bytes) {
                return Some((context, puk));
            }
            if context == FileNumber::MF {
                return None;
            }
            context = self.tree.get(context)?.parent;
        }
    }

    /// Whether the key is verified, or needs no verification because its PIN is disabled. Of a PIN that the universal PIN
    /// replaces, whether that is.
    pub(crate) fn satisfied(&self, verified: &Verified, route: &Route, reference: KeyReference) -> bool {
        let Some((context, pin)) = self.find(route, reference) else { return false };
        match pin {
            Pin { enabled: true, .. } | Pin { tries: 0, .. } => verified.contains(context, reference),
            Pin { enabled: false, replaced: true, .. } if reference != KeyReference::UNIVERSAL_PIN => {
                self.satisfied(verified, route, KeyReference::UNIVERSAL_PIN)
            }
            Pin { enabled: false, .. } => true,
        }
    }

    /// The security environment that is current for files of a directory. TS 102 221 §9.2.7.
    pub(crate) fn security_environment(&self, route: &Route) -> u8 {
        let is_enabled = |reference| self.find(route, reference).is_some_and(|(_, pin)| pin.enabled);
        let pin = self.find(route, self.application_pin(route)).map(|(_, pin)| pin);
        match pin {
            Some(Pin { enabled: true, .. }) => SE_APPLICATION_PIN,
            Some(Pin { replaced: false, .. }) | None if is_enabled(KeyReference::UNIVERSAL_PIN) => SE_APPLICATION_PIN,
            _ => SE_UNIVERSAL_PIN,
        }
    }

    /// Whether the universal PIN is to be verified in a directory: in place of any of the PINs of applications that it shows,
    /// or because it shows none. TS 102 221 §9.5.2, and the table of §9.2.7: a terminal that reads the template is to learn
    /// that the universal PIN opens something, whichever of the PINs has been replaced.
    pub(crate) fn uses_universal_pin(&self, route: &Route) -> bool {
        let mut shown = self.shown_application_pins(route.df()).peekable();
        shown.peek().is_none()
            || shown.any(|reference| self.find(route, reference).is_some_and(|(_, pin)| !pin.enabled && pin.replaced))
    }

    /// The PIN of the application that a directory belongs to: the first that the nearest one upwards shows.
    fn application_pin(&self, route: &Route) -> KeyReference {
        let first = route.upwards(self.tree).find_map(|df| self.shown_application_pins(df).next());
        first.unwrap_or(KeyReference::PIN_APPL_1)
    }

    fn shown_application_pins(&self, df: FileNumber) -> impl Iterator<Item = KeyReference> {
        let shown = self.tree.get(df).map_or(&[][..], |file| &file.pin_status);
        shown.iter().copied().filter(|reference| is_application_pin(*reference)).map(KeyReference)
    }

    fn shared_with(&self, context: FileNumber) -> FileNumber {
        match self.entry(context, false, KeyReference(SHARED)) {
            Some([high, low]) => FileNumber(u16::from_be_bytes([*high, *low])),
            _ => context,
        }
    }

    fn entry(&self, context: FileNumber, unblocking: bool, reference: KeyReference) -> Option<&[u8]> {
        self.nvm.get(pin_key(self.domain, context, unblocking, reference))
    }
}

/// Level 1 user verification. TS 102 221 table 9.3.
const fn is_application_pin(reference: u8) -> bool {
    matches!(reference, 0x01..=0x08)
}

fn pin_key(domain: DomainId, context: FileNumber, unblocking: bool, reference: KeyReference) -> Key {
    Key::new(Partition::Pin, domain.0, crate::nvm::pin_index(context.0, unblocking, reference.0))
}

impl<'nvm> FileSession<'_, 'nvm> {
    pub(super) fn pins(&self) -> Pins<'_, 'nvm> {
        Pins { nvm: self.nvm, tree: self.tree, domain: self.domain }
    }

    /// VERIFY PIN. Without data it asks for the tries left.
    pub(super) fn verify_pin(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let (reference, context, mut pin) = self.referenced(command)?;
        let value = match command.data {
            [] if pin.tries == 0 => return Err(StatusWord::AUTHENTICATION_METHOD_BLOCKED),
            [] => return Ok(StatusWord::tries_left(pin.tries).into()),
            data => <[u8; 8]>::try_from(data).map_err(|_| StatusWord::WRONG_LENGTH)?,
        };
        if pin.tries == 0 {
            return Err(StatusWord::AUTHENTICATION_METHOD_BLOCKED);
        }
        if !pin.enabled {
            return Err(StatusWord::REFERENCED_DATA_INVALIDATED);
        }
        self.compare(reference, context, &mut pin, value)
    }

    /// CHANGE PIN: old value, new value.
    pub(super) fn change_pin(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let (reference, context, mut pin) = self.referenced(command)?;
        let (old, new) = two_values(command.data)?;
        if pin.tries == 0 {
            return Err(StatusWord::AUTHENTICATION_METHOD_BLOCKED);
        }
        if !pin.enabled {
            return Err(StatusWord::REFERENCED_DATA_INVALIDATED);
        }
        if !pin.attributes.has(PinAttributes::CHANGEABLE) {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let response = self.compare(reference, context, &mut pin, *old)?;
        if response.sw == StatusWord::OK {
            pin.value = Zeroizing::new(*new);
            self.store_pin(context, reference, &pin);
        }
        Ok(response)
    }

    /// DISABLE PIN: after it the PIN counts as verified; or, with P1 = 91, the universal PIN is verified in its place, what
    /// other files name the disabled one included. TS 102 221 §11.1.11.
    ///
    /// Whether files whose rules name only the disabled PIN open to the universal PIN the specification leaves to the
    /// application. They do here: otherwise they could never be reached.
    pub(super) fn disable_pin(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        const ALTERNATIVE: u8 = 0x80;
        const UNIVERSAL_PIN: u8 = ALTERNATIVE | KeyReference::UNIVERSAL_PIN.0;
        match command.p1 {
            0x00 => self.switch_pin(command, Switch::Off { replaced: false }),
            UNIVERSAL_PIN if (1..=8).contains(&command.p2) => {
                let universal = self.pins().find(&Route::MF, KeyReference::UNIVERSAL_PIN);
                universal.ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
                self.switch_pin(&Command { p1: 0, ..*command }, Switch::Off { replaced: true })
            }
            // No other key may stand in for a PIN, and the universal one for none but an application's.
            _ => Err(StatusWord::WRONG_P1_P2),
        }
    }

    /// ENABLE PIN. It is not replaced any more.
    pub(super) fn enable_pin(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        self.switch_pin(command, Switch::On)
    }

    fn switch_pin(&mut self, command: &Command<'_>, to: Switch) -> Result<Response, StatusWord> {
        let (reference, context, mut pin) = self.referenced(command)?;
        let value = <[u8; 8]>::try_from(command.data).map_err(|_| StatusWord::WRONG_LENGTH)?;
        if pin.tries == 0 {
            return Err(StatusWord::AUTHENTICATION_METHOD_BLOCKED);
        }
        if pin.enabled == (to == Switch::On) {
            return Err(StatusWord::REFERENCED_DATA_INVALIDATED);
        }
        if !pin.attributes.has(PinAttributes::DISABLEABLE) {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let response = self.compare(reference, context, &mut pin, value)?;
        if response.sw == StatusWord::OK {
            (pin.enabled, pin.replaced) = match to {
                Switch::On => (true, false),
                Switch::Off { replaced } => (false, replaced),
            };
            self.store_pin(context, reference, &pin);
        }
        Ok(response)
    }

    /// UNBLOCK PIN: PUK, new value. Without data it asks for the tries left. The PIN is enabled afterwards.
    pub(super) fn unblock_pin(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let (reference, context, mut pin) = self.referenced(command)?;
        let unblocking = pin.unblocking.ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
        let (puk_context, mut puk) =
            self.pins().find_puk(context, unblocking).ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
        if puk.tries == 0 {
            return Err(StatusWord::AUTHENTICATION_METHOD_BLOCKED);
        }
        if command.data.is_empty() {
            return Ok(StatusWord::tries_left(puk.tries).into());
        }
        let (value, new) = two_values(command.data)?;
        puk.tries -= 1;
        self.store_puk(puk_context, unblocking, &puk);
        self.nvm.checkpoint().map_err(|_| StatusWord::MEMORY_PROBLEM)?;
        if !bool::from(value.ct_eq(&*puk.value)) {
            return Ok(refusal(puk.tries));
        }
        puk.tries = puk.maximum_tries;
        self.store_puk(puk_context, unblocking, &puk);
        pin.value = Zeroizing::new(*new);
        pin.tries = pin.maximum_tries;
        (pin.enabled, pin.replaced) = (true, false);
        self.store_pin(context, reference, &pin);
        self.effects.verified = Some((context, reference, true));
        Ok(Response::done())
    }

    /// The PIN that P2 names, in the current directory.
    fn referenced(&self, command: &Command<'_>) -> Result<(KeyReference, FileNumber, Pin), StatusWord> {
        if command.p1 != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let reference = match command.p2 {
            0x00 => return Err(StatusWord::REFERENCED_DATA_NOT_FOUND),
            reference => KeyReference(reference),
        };
        let (context, pin) =
            self.pins().find(&self.channel()?.route, reference).ok_or(StatusWord::REFERENCED_DATA_NOT_FOUND)?;
        Ok((reference, context, pin))
    }

    /// Uses up a try, compares, and gives the tries back on success.
    fn compare(
        &mut self,
        reference: KeyReference,
        context: FileNumber,
        pin: &mut Pin,
        value: [u8; 8],
    ) -> Result<Response, StatusWord> {
        pin.tries = pin.tries.saturating_sub(1);
        self.store_pin(context, reference, pin);
        self.nvm.checkpoint().map_err(|_| StatusWord::MEMORY_PROBLEM)?;
        if !bool::from(value.ct_eq(&*pin.value)) {
            self.effects.verified = Some((context, reference, false));
            return Ok(refusal(pin.tries));
        }
        pin.tries = pin.maximum_tries;
        self.store_pin(context, reference, pin);
        self.effects.verified = Some((context, reference, true));
        Ok(Response::done())
    }

    fn store_pin(&mut self, context: FileNumber, reference: KeyReference, pin: &Pin) {
        self.nvm.insert(pin_key(self.domain, context, false, reference), pin.to_bytes());
    }

    fn store_puk(&mut self, context: FileNumber, reference: KeyReference, puk: &Puk) {
        self.nvm.insert(pin_key(self.domain, context, true, reference), puk.to_bytes());
    }
}

/// What ENABLE and DISABLE PIN do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Switch {
    On,
    Off { replaced: bool },
}

/// The answer to a wrong value.
fn refusal(tries: u8) -> Response {
    StatusWord::tries_left(tries).into()
}

fn two_values(data: &[u8]) -> Result<(&[u8; 8], &[u8; 8]), StatusWord> {
    match data.split_first_chunk::<8>() {
        Some((first, second)) => Ok((first, second.try_into().map_err(|_| StatusWord::WRONG_LENGTH)?)),
        None => Err(StatusWord::WRONG_LENGTH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    /// What version 0.1.0 wrote: PIN1 0000, enabled and disabled; it knew no replacement.
    #[test]
    fn pins_of_the_first_version_are_read() {
        let enabled = Pin::from_bytes(&hex!("30303030FFFFFFFF 01 07 02 03 01")).unwrap();
        assert_eq!((enabled.enabled, enabled.replaced, enabled.tries, enabled.maximum_tries), (true, false, 2, 3));
        assert_eq!(enabled.unblocking, Some(KeyReference::PIN_APPL_1));
        assert_eq!(enabled.to_bytes(), hex!("30303030FFFFFFFF 01 07 02 03 01"));
        let disabled = Pin::from_bytes(&hex!("30303030FFFFFFFF 00 06 03 03 00")).unwrap();
        assert_eq!((disabled.enabled, disabled.replaced, disabled.unblocking), (false, false, None));
        let replaced = Pin { replaced: true, ..disabled };
        assert!(Pin::from_bytes(&replaced.to_bytes()) == Some(replaced));
    }
}
