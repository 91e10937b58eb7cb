//! Readers and cards, through libpcsclite.

mod holder;

use std::cell::LazyCell;
use std::ffi::{CStr, CString};
use std::fmt;
use std::time::{Duration, Instant};

use apdu::transport::expects_data;
use apdu::{Transport, TransportError};
use pcsc::{Context, Disposition, Error, Protocol, ReaderState, Scope, State};

use super::{Options, Reader, Sharing};
use crate::reader_error::ReaderError;
use holder::{Holder, Order};

/// How long [`PcscReader::connect`] waits for another program to let go of the card: most are done with it in a second.
const BUSY_LIMIT: Duration = Duration::from_secs(10);
/// How long it waits for a card that does not answer. pcscd keeps a card for up to half a second after its last user
/// crashed; a busy machine may need a moment to power it again.
const MUTE_LIMIT: Duration = Duration::from_millis(1500);
/// How long it waits for a card to appear. A virtual card may be on its way: pcscd looks for one every 0.4 s.
const ARRIVAL: Duration = Duration::from_secs(2);
/// How long a virtual reader may hold a card that is gone: pcscd looks every 0.4 s.
const UNNOTICED: Duration = Duration::from_millis(500);
/// Between two looks for a card.
const GLANCE: Duration = Duration::from_millis(50);

/// All readers of the PC/SC service, in its order.
pub fn list_readers() -> Result<Vec<Reader>, ReaderError> {
    let context = establish()?;
    let names = names(&context)?;
    let states = states(&context, &names)?;
    Ok(states
        .iter()
        .enumerate()
        .map(|(index, state)| Reader {
            index,
            name: state.name().to_string_lossy().into_owned(),
            card: state.event_state().contains(State::PRESENT).then(|| state.atr().to_vec()),
            in_use: state.event_state().intersects(State::EXCLUSIVE | State::INUSE),
            exclusive: state.event_state().contains(State::EXCLUSIVE),
            events: state.event_count(),
        })
        .collect())
}

/// Waits until the reader chosen by `wanted` (see [`PcscReader::connect`]), or else any, exists and holds a card that has
/// answered to reset.
///
/// Gives up after `limit` with the reason of the last look. A card that is in a virtual reader from the beginning has to stay for
/// half a second of that: it may have been taken out just now, which the reader has not noticed.
pub fn wait_for_card(wanted: Option<&str>, limit: Duration) -> Result<Reader, ReaderError> {
    let begun = Instant::now();
    let deadline = begun + limit;
    let mut first_look = true;
    // Which reader had a card at the first look, and how many had come and gone before.
    let mut doubtful = None;
    loop {
        let found = list_readers().and_then(|readers| {
            let names: Vec<&str> = readers.iter().map(|reader| reader.name.as_str()).collect();
            let chosen = match wanted {
                Some(wanted) => choose(&names, |index| readers.get(index).is_some_and(Reader::has_answered), wanted)?,
                None => readers.iter().position(Reader::has_answered).unwrap_or_default(),
            };
            let missing = || match wanted {
                Some(wanted) => ReaderError::NoCard { reader: wanted.to_owned() },
                None => ReaderError::NoCardAnywhere { present: names.iter().map(ToString::to_string).collect() },
            };
            readers.get(chosen).filter(|reader| reader.has_answered()).cloned().ok_or_else(missing)
        });
        let card = found.as_ref().ok().filter(|reader| reader.is_virtual());
        let card = card.map(|reader| (reader.name.clone(), reader.events));
        if std::mem::replace(&mut first_look, false) {
            doubtful.clone_from(&card);
        }
        let is_doubtful = card.is_some() && card == doubtful && begun.elapsed() < UNNOTICED;
        if found.is_ok() && !is_doubtful || Instant::now() >= deadline {
            return found;
        }
        std::thread::sleep(GLANCE);
    }
}

/// Waits until the reader chosen by `wanted` (see [`PcscReader::connect`]), or else every reader, holds no card; returns those
/// readers. A reader that is not there holds none.
///
/// Gives up after `limit` with the reason of the last look.
pub fn wait_until_empty(wanted: Option<&str>, limit: Duration) -> Result<Vec<Reader>, ReaderError> {
    let deadline = Instant::now() + limit;
    loop {
        let found = match list_readers() {
            Err(ReaderError::NoReaders) => return Ok(Vec::new()),
            found => found.and_then(|readers| chosen(readers, wanted)),
        };
        let occupied = found.as_ref().ok().and_then(|readers| readers.iter().find(|reader| reader.card.is_some()));
        let outcome = match occupied {
            Some(reader) => Err(ReaderError::Occupied { reader: reader.name.clone() }),
            None => found,
        };
        match outcome {
            Err(_) if Instant::now() < deadline => std::thread::sleep(GLANCE),
            outcome => return outcome,
        }
    }
}

/// The reader that `wanted` names, as [`PcscReader::open`] finds it: by its number, its name or a part of it.
///
/// # Errors
/// There is none, there are several, or the service does not tell.
pub fn find_reader(wanted: &str) -> Result<Reader, ReaderError> {
    let mut readers = list_readers()?;
    let names: Vec<&str> = readers.iter().map(|reader| reader.name.as_str()).collect();
    let index = choose(&names, |index| readers.get(index).is_some_and(|reader| reader.card.is_some()), wanted)?;
    Ok(readers.swap_remove(index))
}

/// The reader that `wanted` names, or all of them; none, if it is not there.
fn chosen(readers: Vec<Reader>, wanted: Option<&str>) -> Result<Vec<Reader>, ReaderError> {
    let Some(wanted) = wanted else { return Ok(readers) };
    let names: Vec<&str> = readers.iter().map(|reader| reader.name.as_str()).collect();
    // Which has a card is what changes while one waits for them to be empty.
    match choose(&names, |_| false, wanted) {
        Ok(index) => Ok(readers.into_iter().skip(index).take(1).collect()),
        Err(ReaderError::ReaderNotFound { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Sends one command to the card in the reader of this name, if no program uses it, and leaves the card as it is. What it
/// answers does not matter: this is for the card's side, which may wait to be touched.
pub fn touch(reader: &str, command: &[u8]) -> Result<(), ReaderError> {
    let explained = |error| explain(error, reader);
    let Ok(name) = CString::new(reader) else {
        return Err(ReaderError::ReaderNotFound { wanted: reader.to_owned(), present: Vec::new() });
    };
    let card = establish()?.connect(&name, pcsc::ShareMode::Shared, pcsc::Protocols::ANY).map_err(explained)?;
    let mut answer = [0; pcsc::MAX_BUFFER_SIZE];
    let touched = card.transmit(command, &mut answer).map(drop).map_err(explained);
    // It is left as it is at the end of the process as well.
    let _ = card.disconnect(Disposition::LeaveCard);
    touched
}

/// A [`Transport`] over PC/SC, holding the card until it is dropped. A card that is not there yet is waited for two seconds.
///
/// Under T=0 a command with both data and Le goes out without its Le, as ISO/IEC 7816-3 §12.2.4 maps it; the card then
/// announces its response by `61XX`.
pub struct PcscReader {
    holder: Holder,
    reader: CString,
    atr: Vec<u8>,
    protocol: Option<Protocol>,
    options: Options,
}

impl PcscReader {
    /// Connects to the card in the reader that `wanted` names: its number in [`list_readers`], its whole name, or a
    /// part of its name that no other reader has, or no other one with a card (upper and lower case count as equal). It is for
    /// this program alone.
    pub fn connect(wanted: &str) -> Result<Self, ReaderError> {
        Self::open(Some(wanted), Options::default())
    }

    /// Connects to the first reader that holds a card, for this program alone.
    pub fn connect_first() -> Result<Self, ReaderError> {
        Self::open(None, Options::default())
    }

    /// Connects to the card in the reader that `wanted` names as for [`PcscReader::connect`], or in the first that has one.
    pub fn open(wanted: Option<&str>, options: Options) -> Result<Self, ReaderError> {
        let context = establish()?;
        let names = names(&context)?;
        let Some(wanted) = wanted else {
            let deadline = Instant::now() + ARRIVAL;
            loop {
                let states = states(&context, &names)?;
                match states.iter().find(|state| state.event_state().contains(State::PRESENT)) {
                    Some(state) => return Self::open_exactly(state.name(), options),
                    None if Instant::now() < deadline => std::thread::sleep(GLANCE),
                    None => return Err(ReaderError::NoCardAnywhere { present: texts(&names) }),
                }
            }
        };
        let texts: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        // Not asked of the service where the name alone decides.
        let with_card = || {
            let states = states(&context, &names).unwrap_or_default();
            states.iter().map(|state| state.event_state().contains(State::PRESENT)).collect::<Vec<_>>()
        };
        let with_card = LazyCell::new(with_card);
        let index = choose(&texts, |index| with_card.get(index).copied().unwrap_or_default(), wanted)?;
        Self::open_exactly(names.get(index).ok_or(ReaderError::NoReaders)?, options)
    }

    fn open_exactly(reader: &CStr, options: Options) -> Result<Self, ReaderError> {
        let (holder, power) = Holder::connect(reader, options)?;
        Ok(Self { holder, reader: reader.to_owned(), atr: power.atr, protocol: power.protocol, options })
    }

    /// The reader's name.
    pub fn reader(&self) -> String {
        self.reader.to_string_lossy().into_owned()
    }

    /// The protocol agreed on: `T=0`, `T=1`, or `raw`.
    pub const fn protocol(&self) -> &'static str {
        match self.protocol {
            Some(Protocol::T0) => "T=0",
            Some(Protocol::T1) => "T=1",
            _ => "raw",
        }
    }

    fn reconnect(&mut self, disposition: Disposition) -> Result<Vec<u8>, ReaderError> {
        let power = self.holder.power(Order::Reconnect(disposition))?;
        self.atr = power.atr;
        self.protocol = power.protocol;
        Ok(self.atr.clone())
    }
}

impl PcscReader {
    /// A card that was pulled does not answer, and the service notices a little later why.
    fn looked_after(&self, error: ReaderError) -> ReaderError {
        const LOOKS: u32 = 6;
        if !matches!(error, ReaderError::Card(TransportError::Mute)) {
            return error;
        }
        let name = self.reader.to_string_lossy();
        for _ in 0..LOOKS {
            match list_readers() {
                Ok(readers) if readers.iter().any(|reader| reader.name == name && reader.card.is_some()) => {}
                Ok(_) => return ReaderError::Card(TransportError::CardRemoved),
                Err(_) => return error,
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        error
    }
}

impl Transport for PcscReader {
    /// Takes a card that was put in since as well: the one before is forgotten.
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        if let Ok(atr) = self.reconnect(Disposition::UnpowerCard) {
            return Ok(atr);
        }
        // The service knows that it is gone, or will.
        self.holder.let_go();
        let again = Self::open_exactly(&self.reader, self.options)?;
        *self = again;
        Ok(self.atr.clone())
    }

    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        Ok(self.reconnect(Disposition::ResetCard)?)
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let command = if self.protocol == Some(Protocol::T0) { without_le(command) } else { command };
        let response = self.holder.response(Order::Transmit(command.to_vec()));
        let response = response.map_err(|error| self.looked_after(error))?;
        match response.len() {
            0 => Err(TransportError::Mute),
            1 => Err(TransportError::ShortResponse(1)),
            _ => Ok(response),
        }
    }

    fn atr(&self) -> &[u8] {
        &self.atr
    }

    fn hold(&mut self) -> Result<(), TransportError> {
        match self.options.sharing {
            Sharing::Exclusive => Ok(()),
            Sharing::Shared => Ok(self.holder.done(Order::Hold)?),
        }
    }

    fn release(&mut self) {
        if self.options.sharing == Sharing::Shared {
            // A card that is gone is held by nobody.
            let _ = self.holder.done(Order::Release);
        }
    }
}

impl fmt::Debug for PcscReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PcscReader").field("reader", &self.reader).finish_non_exhaustive()
    }
}

/// The command without the Le of case 4, which T=0 has no room for.
fn without_le(command: &[u8]) -> &[u8] {
    match command.split_last() {
        Some((_, rest)) if expects_data(command) => rest,
        _ => command,
    }
}

fn establish() -> Result<Context, ReaderError> {
    Context::establish(Scope::User).map_err(|error| explain(error, "all"))
}

fn names(context: &Context) -> Result<Vec<CString>, ReaderError> {
    match context.list_readers_owned() {
        Ok(names) if names.is_empty() => Err(ReaderError::NoReaders),
        outcome => outcome.map_err(|error| explain(error, "all")),
    }
}

fn states(context: &Context, names: &[CString]) -> Result<Vec<ReaderState>, ReaderError> {
    let mut states: Vec<_> = names.iter().map(|name| ReaderState::new(name.as_c_str(), State::UNAWARE)).collect();
    // With UNAWARE the call returns at once with what is there.
    context.get_status_change(Duration::from_secs(2), &mut states).map_err(|error| explain(error, "all"))?;
    Ok(states)
}

fn texts(names: &[CString]) -> Vec<String> {
    names.iter().map(|name| name.to_string_lossy().into_owned()).collect()
}

/// Finds the reader `wanted` names among `names`: a number, a whole name, or a part of exactly one name, or of exactly one among
/// those that have a card.
fn choose(names: &[&str], has_card: impl Fn(usize) -> bool, wanted: &str) -> Result<usize, ReaderError> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    if let Some(exact) = names.iter().position(|name| *name == wanted) {
        return Ok(exact);
    }
    if let Ok(index) = wanted.parse::<usize>()
        && index < names.len()
    {
        return Ok(index);
    }
    let part = wanted.to_lowercase();
    let matching: Vec<usize> =
        (0..names.len()).filter(|index| names.get(*index).is_some_and(|n| n.to_lowercase().contains(&part))).collect();
    match matching.as_slice() {
        [one] => Ok(*one),
        [] => Err(ReaderError::ReaderNotFound { wanted: wanted.into(), present: owned(names) }),
        several => {
            if let [one] = several.iter().copied().filter(|index| has_card(*index)).collect::<Vec<_>>().as_slice() {
                return Ok(*one);
            }
            let matching = several.iter().filter_map(|index| names.get(*index)).copied().collect::<Vec<_>>();
            Err(ReaderError::ReaderAmbiguous { wanted: wanted.into(), matching: owned(&matching) })
        }
    }
}

/// The table from the service's error codes to ours.
fn explain(error: Error, reader: &str) -> ReaderError {
    let reader = reader.to_owned();
    match error {
        Error::NoService | Error::ServiceStopped | Error::Shutdown => ReaderError::NoService,
        Error::NoReadersAvailable => ReaderError::NoReaders,
        Error::UnknownReader | Error::ReaderUnavailable => {
            ReaderError::ReaderNotFound { wanted: reader, present: Vec::new() }
        }
        Error::NoSmartcard => ReaderError::NoCard { reader },
        Error::SharingViolation => ReaderError::Busy { reader },
        Error::NoAccess | Error::SecurityViolation => ReaderError::AccessDenied { reader },
        Error::UnresponsiveCard | Error::UnpoweredCard | Error::InvalidAtr => ReaderError::Unresponsive { reader },
        Error::ProtoMismatch | Error::UnsupportedCard => ReaderError::ProtocolMismatch { reader },
        Error::ResetCard => ReaderError::Card(TransportError::CardReset),
        Error::RemovedCard => ReaderError::Card(TransportError::CardRemoved),
        Error::NotTransacted | Error::CommError | Error::CommDataLost => ReaderError::Card(TransportError::Mute),
        other => ReaderError::Service { reader, cause: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READERS: [&str; 3] = ["Virtual PCD 00 00", "Virtual PCD 00 01", "ACS ACR38U 02 00"];

    #[test]
    fn readers_are_found_by_name_part_and_number() {
        assert_eq!(choose(&READERS, |_| false, "Virtual PCD 00 01"), Ok(1));
        assert_eq!(choose(&READERS, |_| false, "acr38"), Ok(2));
        assert_eq!(choose(&READERS, |_| false, "0"), Ok(0));
        assert_eq!(choose(&READERS, |_| false, "00 01"), Ok(1));
        assert_eq!(choose(&READERS, |index| index == 1, "virtual"), Ok(1), "the only one with a card");
        assert_eq!(choose(&READERS, |index| index == 1, "virtual pcd 00 00"), Ok(0));
    }

    #[test]
    fn only_case_4_loses_its_le() {
        assert_eq!(without_le(&[0, 0xA4, 0, 4, 2, 0x3F, 0, 0]), [0, 0xA4, 0, 4, 2, 0x3F, 0]);
        for command in
            [&[0, 0xA4, 0, 4, 2, 0x3F, 0][..], &[0, 0xB0, 0, 0, 0], &[0, 0x70, 0, 0], &[0, 0xB0, 0, 0, 0, 1, 0]]
        {
            assert_eq!(without_le(command), command);
        }
    }

    #[test]
    fn what_is_there_is_told_when_nothing_matches() {
        let error = choose(&READERS, |_| false, "Gemalto").unwrap_err().to_string();
        assert!(error.contains("2: ACS ACR38U 02 00"), "{error}");
        let error = choose(&READERS, |_| false, "virtual").unwrap_err().to_string();
        assert!(error.contains("several") && !error.contains("ACS"), "{error}");
        assert!(matches!(choose(&READERS, |_| true, "virtual"), Err(ReaderError::ReaderAmbiguous { .. })));
        assert!(matches!(choose(&READERS, |_| false, "7"), Err(ReaderError::ReaderNotFound { .. })));
    }
}
