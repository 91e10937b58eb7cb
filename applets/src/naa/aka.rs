//! Authentication and key agreement on the card's side: algorithm, freshness of sequence numbers, the answer.
//! TS 33.102 §6.3 and annex C, TS 31.102 §7.1.

use apdu::StatusWord;
use card_os::Context;
use card_os::fs::FileId;
use crypto::Octets;
use crypto::aka::{Aka, Amf, Response, Sqn, kc, sres};
use crypto::algorithm::Algorithm;
use crypto::milenage::{Constants, Milenage};
use crypto::tuak::{Parameters, Tuak};
use crypto::xor::Xor;
use saip::aka::{AkaParameter, AlgoConfiguration, AlgoParameter, AlgorithmId};

use super::key_files::{Layout, Purpose};
use super::{counted, push_counted};

/// Numbers of what an application keeps.
mod item {
    /// The highest SEQ accepted for each IND, six octets each.
    pub(super) const SEQ_ARRAY: u16 = 1;
    /// How many authentications there were, four octets.
    pub(super) const AUTHENTICATIONS: u16 = 2;
}

/// Tags of the answer, TS 31.102 §7.1.2.1.
mod tag {
    pub(super) const SUCCESS: u8 = 0xDB;
    pub(super) const SYNCHRONISATION_FAILURE: u8 = 0xDC;
}

/// The AMF with which test equipment asks the test algorithm to resynchronise: AMF_RESYNCH, TS 34.108 §8.1.2.2.
const AMF_RESYNCH: Amf = [0xFF, 0xFF];

/// What an application starts with: the sequence numbers of its parameters.
pub(crate) fn initial_data(parameters: &AkaParameter) -> Vec<(u16, Vec<u8>)> {
    vec![(item::SEQ_ARRAY, parameters.sqn_init.concat())]
}

/// The algorithm, if its parameters are of the lengths it wants.
pub fn algorithm(algo: &AlgoParameter) -> Option<Algorithm> {
    let (key, opc) = (algo.key.expose(), algo.opc.expose());
    match algo.algorithm_id {
        AlgorithmId::Milenage => {
            let mut constants = Constants { rotation: algo.rotation_constants, ..Constants::default() };
            for (constant, octets) in constants.xoring.iter_mut().zip(algo.xoring_constants.chunks_exact(16)) {
                constant.copy_from_slice(octets);
            }
            let rotations_fit = constants.rotation.iter().all(|bits| *bits < 128);
            let milenage = Milenage::new(key.try_into().ok()?, opc.try_into().ok()?).with_constants(constants);
            rotations_fit.then_some(Algorithm::Milenage(milenage))
        }
        AlgorithmId::Tuak => {
            let (res, mac, ck, ik) = algo.tuak_lengths()?;
            let parameters = Parameters { mac, res, ck, ik, iterations: algo.number_of_keccak };
            Tuak::new(key, opc.try_into().ok()?, parameters).ok().map(Algorithm::Tuak)
        }
        AlgorithmId::UsimTestAlgorithm => {
            let xor = Xor::new(key.try_into().ok()?).with_res_length(algo.xor_res_length()?);
            Some(Algorithm::Xor(xor))
        }
    }
}

/// How an application comes to its keys.
pub(crate) enum Keys {
    /// Its install parameters have them.
    Installed(Box<Subscription>),
    /// They are content of files.
    InFiles(Layout),
}

impl Keys {
    /// From the install parameters; `None` for an application that was given none.
    pub(crate) fn load(parameters: &[u8]) -> Option<Self> {
        match Layout::of(parameters) {
            Some(layout) => Some(Self::InFiles(layout)),
            None => Subscription::load(parameters).map(|loaded| Self::Installed(Box::new(loaded))),
        }
    }

    /// [`Subscription::challenge`].
    pub(crate) fn challenge(&self, data: &[u8], cx: &mut Context<'_, '_>) -> Result<Answer, StatusWord> {
        self.with(Purpose::ThreeG, cx, |subscription, cx| subscription.challenge(data, cx))
    }

    /// [`Subscription::gsm`].
    pub(crate) fn gsm(&self, data: &[u8], cx: &mut Context<'_, '_>) -> Result<([u8; 4], [u8; 8]), StatusWord> {
        self.with(Purpose::Gsm, cx, |subscription, _| subscription.gsm(data))
    }

    fn with<T>(
        &self,
        purpose: Purpose,
        cx: &mut Context<'_, '_>,
        code: impl FnOnce(&Subscription, &mut Context<'_, '_>) -> Result<T, StatusWord>,
    ) -> Result<T, StatusWord> {
        match self {
            Self::Installed(subscription) => code(subscription, cx),
            Self::InFiles(layout) => {
                let read = layout.subscription(purpose, cx).ok_or(StatusWord::CONDITIONS_NOT_SATISFIED)?;
                code(&read, cx)
            }
        }
    }
}

/// Where the numbers are kept that were accepted.
#[derive(Clone, Copy)]
pub(crate) enum Numbers {
    /// With the application.
    Kept,
    /// In a file of its own, behind what is checked of them.
    InFile(&'static [FileId]),
}

/// How SRES is made of RES. TS 55.205 §8.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sres {
    /// All of it, a word on the other.
    Folded,
    /// Its first octets.
    Beginning,
}

/// What an application needs to authenticate, worked out of its parameters.
pub(crate) struct Subscription {
    algorithm: Algorithm,
    checks_freshness: bool,
    numbers: Numbers,
    sres: Sres,
    /// RES has four octets.
    short_res: bool,
    /// Largest step of SEQ forward.
    delta: Option<u64>,
    /// Largest distance of SEQ to the highest accepted.
    age_limit: Option<u64>,
    /// How many authentications there may be.
    authentications: Option<u32>,
}

/// Octets of a RES that is shortened.
const SHORT_RES: usize = 4;

/// Octets before the numbers in a file of them: two of flags, the largest step, the age limit.
const SQN_HEADER: usize = 14;

/// What is checked of a sequence number.
struct Checks {
    /// Whether anything is.
    any: bool,
    delta: Option<u64>,
    age_limit: Option<u64>,
}

impl Checks {
    /// The next number is not checked.
    const SKIP: u8 = 0x80;

    fn from_file(header: &[u8; SQN_HEADER]) -> Self {
        const DELTA: u8 = 0x40;
        const AGE: u8 = 0x20;
        const SQN: u8 = 0x10;
        let [flags, _, limits @ ..] = header;
        let (delta, age_limit) = limits.split_at(6);
        Self {
            any: flags & Self::SKIP == 0 && flags & SQN != 0,
            delta: (flags & DELTA != 0).then(|| number(delta)),
            age_limit: (flags & AGE != 0).then(|| number(age_limit)),
        }
    }
}

/// The answer to a challenge whose MAC is right.
pub(crate) enum Answer {
    Success(Response),
    SynchronisationFailure(Vec<u8>),
}

impl Subscription {
    /// With an algorithm, and nothing else said.
    pub(crate) const fn of(algorithm: Algorithm) -> Self {
        let checks_freshness = !matches!(algorithm, Algorithm::Xor(_));
        Self {
            algorithm,
            checks_freshness,
            numbers: Numbers::Kept,
            sres: Sres::Folded,
            short_res: false,
            delta: None,
            age_limit: None,
            authentications: None,
        }
    }

    /// Keeps the numbers accepted elsewhere.
    pub(crate) fn with_numbers(self, numbers: Numbers) -> Self {
        Self { numbers, ..self }
    }

    /// Answers otherwise.
    pub(crate) fn with_answers(self, sres: Sres, short_res: bool) -> Self {
        Self { sres, short_res, ..self }
    }

    /// From the install parameters; `None` for an application that was given none.
    fn load(parameters: &[u8]) -> Option<Self> {
        let parameters = AkaParameter::from_der(parameters).ok()?;
        let AlgoConfiguration::Algo(algo) = &parameters.algo_configuration else { return None };
        let if_asked = |option: u8, limit: [u8; 6]| (parameters.sqn_options & option != 0).then_some(number(&limit));
        Some(Self {
            checks_freshness: algo.algorithm_id != AlgorithmId::UsimTestAlgorithm,
            delta: if_asked(AkaParameter::DELTA_CHECK, parameters.sqn_delta),
            age_limit: if_asked(AkaParameter::AGE_CHECK, parameters.sqn_age_limit),
            authentications: algo.auth_counter_max.map(|[high, mid, low]| u32::from_be_bytes([0, high, mid, low])),
            ..Self::of(algorithm(algo)?)
        })
    }

    /// Opens AUTN, checks the sequence number and keeps it. What is written is committed before the answer leaves the card.
    fn challenge(&self, data: &[u8], cx: &mut Context<'_, '_>) -> Result<Answer, StatusWord> {
        let (rand, rest) = counted(data)?;
        let (autn, rest) = counted(rest)?;
        let rand = rand.try_into().map_err(|_| StatusWord::WRONG_DATA)?;
        if !rest.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        if autn.len() != 8 + self.algorithm.mac_length() {
            return Err(StatusWord::WRONG_DATA);
        }
        self.count(cx)?;
        let challenge = self.algorithm.open_autn(&rand, autn).map_err(|_| StatusWord::AUTHENTICATION_ERROR)?;
        let (mut seqs, checks) = self.numbers(cx);
        let fresh = if !self.checks_freshness {
            challenge.amf != AMF_RESYNCH
        } else if checks.any {
            seqs.is_fresh(challenge.sqn, checks.delta, checks.age_limit)
        } else {
            true
        };
        if !fresh {
            return Ok(Answer::SynchronisationFailure(self.algorithm.auts(&rand, seqs.sqn_ms())));
        }
        seqs.accept(challenge.sqn);
        self.keep(&seqs, cx)?;
        let mut response = challenge.response;
        if let Some(short) = response.res.first_chunk::<SHORT_RES>().filter(|_| self.short_res) {
            response.res = Octets::new(short);
        }
        Ok(Answer::Success(response))
    }

    /// The numbers accepted, and what is checked of the next one.
    fn numbers(&self, cx: &Context<'_, '_>) -> (SeqArray, Checks) {
        let own = Checks { any: true, delta: self.delta, age_limit: self.age_limit };
        match self.numbers {
            Numbers::Kept => (SeqArray::load(cx), own),
            Numbers::InFile(path) => match cx.file(path).and_then(|file| file.split_first_chunk::<SQN_HEADER>()) {
                Some((header, seqs)) => (SeqArray::from_stored(seqs), Checks::from_file(header)),
                None => (SeqArray::load(cx), own),
            },
        }
    }

    fn keep(&self, seqs: &SeqArray, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
        match self.numbers {
            Numbers::InFile(path) if cx.file(path).is_some() => {
                let flags = cx.file(path).and_then(|file| file.first()).copied().unwrap_or_default();
                cx.write_file(path, 0, &[flags & !Checks::SKIP])?;
                cx.write_file(path, SQN_HEADER, &seqs.to_stored())
            }
            _ => {
                cx.put(item::SEQ_ARRAY, seqs.to_stored());
                Ok(())
            }
        }
    }

    /// GSM authentication with functions c2 and c3, TS 33.102 §6.8.1.2: SRES and Kc.
    fn gsm(&self, data: &[u8]) -> Result<([u8; 4], [u8; 8]), StatusWord> {
        let (rand, rest) = counted(data)?;
        let rand = rand.try_into().map_err(|_| StatusWord::WRONG_DATA)?;
        if !rest.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let Response { res, ck, ik, .. } = &self.algorithm.f2345(&rand);
        let sres = match (self.sres, res.first_chunk()) {
            (Sres::Beginning, Some(beginning)) => *beginning,
            _ => sres(res),
        };
        Ok((sres, kc(ck, ik)))
    }

    /// Uses up one of the authentications that the key is good for.
    fn count(&self, cx: &mut Context<'_, '_>) -> Result<(), StatusWord> {
        let Some(limit) = self.authentications else { return Ok(()) };
        let used = cx.get(item::AUTHENTICATIONS).and_then(|count| count.try_into().ok()).map_or(0, u32::from_be_bytes);
        if used >= limit {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        cx.put(item::AUTHENTICATIONS, (used + 1).to_be_bytes());
        // A challenge that fails counts as well.
        cx.checkpoint().map_err(|_| StatusWord::MEMORY_PROBLEM)
    }
}

impl Answer {
    /// The response data: DB with RES, CK, IK and, if wanted, Kc; or DC with AUTS.
    pub(crate) fn to_bytes(&self, with_kc: bool) -> Vec<u8> {
        match self {
            Self::Success(Response { res, ck, ik, .. }) => {
                let mut out = vec![tag::SUCCESS];
                push_counted(&mut out, res);
                push_counted(&mut out, ck);
                push_counted(&mut out, ik);
                if with_kc {
                    push_counted(&mut out, &kc(ck, ik));
                }
                out
            }
            Self::SynchronisationFailure(auts) => {
                let mut out = vec![tag::SYNCHRONISATION_FAILURE];
                push_counted(&mut out, auts);
                out
            }
        }
    }
}

/// The highest SEQ accepted for each IND, TS 33.102 annex C.2.2.
struct SeqArray([u64; Sqn::IND_COUNT]);

impl SeqArray {
    fn load(cx: &Context<'_, '_>) -> Self {
        Self::from_stored(cx.get(item::SEQ_ARRAY).unwrap_or_default())
    }

    fn from_stored(stored: &[u8]) -> Self {
        let mut seqs = [0; Sqn::IND_COUNT];
        seqs.iter_mut().zip(stored.chunks_exact(6)).for_each(|(seq, octets)| *seq = number(octets));
        Self(seqs)
    }

    fn at(&self, ind: u8) -> u64 {
        self.0.get(usize::from(ind)).copied().unwrap_or_default()
    }

    fn highest(&self) -> u64 {
        self.0.iter().copied().max().unwrap_or_default()
    }

    /// SQN_MS: the highest number accepted, with its index.
    fn sqn_ms(&self) -> Sqn {
        let highest = self.highest();
        let (ind, seq) = (0..).zip(self.0).find(|(_, seq)| *seq == highest).unwrap_or_default();
        Sqn::new(seq, ind)
    }

    fn is_fresh(&self, sqn: Sqn, delta: Option<u64>, age_limit: Option<u64>) -> bool {
        let (seq, highest) = (sqn.seq(), self.highest());
        seq > self.at(sqn.ind())
            && delta.is_none_or(|delta| seq.saturating_sub(highest) <= delta)
            && age_limit.is_none_or(|limit| highest.saturating_sub(seq) < limit)
    }

    fn accept(&mut self, sqn: Sqn) {
        if let Some(seq) = self.0.get_mut(usize::from(sqn.ind())) {
            *seq = sqn.seq();
        }
    }

    fn to_stored(&self) -> Vec<u8> {
        self.0.iter().flat_map(|seq| seq.to_be_bytes().into_iter().skip(2)).collect()
    }
}

/// How far the authentications of a USIM or ISIM have come, read from what it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthenticationCounters {
    /// SQN_MS: the highest sequence number accepted.
    pub sqn_ms: Sqn,
    /// Authentications so far, where the key is good for a limited number.
    pub authentications: Option<u32>,
}

impl AuthenticationCounters {
    /// Reads the counters out of an application's data; `None` if it has none.
    pub fn read<'a>(value: impl Fn(u16) -> Option<&'a [u8]>) -> Option<Self> {
        let sqn_ms = SeqArray::from_stored(value(item::SEQ_ARRAY)?).sqn_ms();
        let count = value(item::AUTHENTICATIONS).and_then(|count| count.try_into().ok());
        Some(Self { sqn_ms, authentications: count.map(u32::from_be_bytes) })
    }
}

fn number(octets: &[u8]) -> u64 {
    octets.iter().fold(0, |number, octet| number << 8 | u64::from(*octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness() {
        let mut seqs = SeqArray([0; 32]);
        seqs.0[1] = 100;
        assert!(seqs.is_fresh(Sqn::new(101, 1), None, None));
        assert!(!seqs.is_fresh(Sqn::new(100, 1), None, None), "the same again");
        assert!(seqs.is_fresh(Sqn::new(5, 2), None, None), "each index counts for itself");
        assert!(!seqs.is_fresh(Sqn::new(5, 2), None, Some(95)), "older than the limit");
        assert!(seqs.is_fresh(Sqn::new(6, 2), None, Some(95)));
        assert!(seqs.is_fresh(Sqn::new(110, 2), Some(10), None));
        assert!(!seqs.is_fresh(Sqn::new(111, 2), Some(10), None), "too large a step");
        assert_eq!(seqs.sqn_ms(), Sqn::new(100, 1));
    }
}
