//! `PE-AKAParameter`: algorithm, key and sequence numbers of a USIM or ISIM.

use crate::codec::{Cursor, Value, put, sequence};
use crate::{Error, PeHeader, Secret};

sequence! {
    /// `PE-AKAParameter`, for the USIM or ISIM before it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct AkaParameter {
        /// The header.
        0xA0 header: PeHeader,
        /// Parameters of its own, or those of another application.
        0xA1 algo_configuration: AlgoConfiguration,
        /// Which checks of the sequence number are made, see [`AkaParameter::WRAP_AROUND_CHECK`] and its neighbours.
        0x82 sqn_options: u8 = Self::WRAP_AROUND_CHECK,
        /// Largest step forward that is accepted.
        0x83 sqn_delta: [u8; 6] = Self::DEFAULT_LIMIT,
        /// Largest distance to the highest accepted number.
        0x84 sqn_age_limit: [u8; 6] = Self::DEFAULT_LIMIT,
        /// The 32 sequence numbers accepted last, without their index: at most `07FFFFFFFFFF`.
        0xA5 sqn_init: Vec<[u8; 6]> [32..=32] = vec![[0; 6]; 32],
        /// For an SSIM.
        0xA6 ssim_parameters: Option<SsimParameters>,
    }
}

impl AkaParameter {
    /// Option: the number may not wrap around.
    pub const WRAP_AROUND_CHECK: u8 = 0x02;
    /// Option: a step forward is limited to [`AkaParameter::sqn_delta`].
    pub const DELTA_CHECK: u8 = 0x04;
    /// Option: a number may not be older than [`AkaParameter::sqn_age_limit`].
    pub const AGE_CHECK: u8 = 0x08;
    /// 2^28, what delta and age limit are unless stated.
    pub const DEFAULT_LIMIT: [u8; 6] = [0, 0, 0x10, 0, 0, 0];

    /// With these parameters and the defaults for everything else.
    pub fn new(header: PeHeader, algo_configuration: AlgoConfiguration) -> Self {
        Self {
            header,
            algo_configuration,
            sqn_options: Self::WRAP_AROUND_CHECK,
            sqn_delta: Self::DEFAULT_LIMIT,
            sqn_age_limit: Self::DEFAULT_LIMIT,
            sqn_init: vec![[0; 6]; 32],
            ssim_parameters: None,
        }
    }

    /// As the DER content of the element, without the outer tag A4: what an application is given as its install parameter.
    pub fn to_der(&self) -> Vec<u8> {
        let mut out = Vec::new();
        Value::encode(self, &mut out);
        out
    }

    /// Back from [`AkaParameter::to_der`].
    pub fn from_der(content: &[u8]) -> Result<Self, Error> {
        Self::try_decode(content, "PE-AKAParameter")
    }
}

/// `algoConfiguration` of [`AkaParameter`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlgoConfiguration {
    /// The parameters of another application are used.
    Mapping(MappingParameter),
    /// Parameters of its own.
    Algo(AlgoParameter),
}

impl Value for AlgoConfiguration {
    fn try_decode(content: &[u8], _: &'static str) -> Result<Self, Error> {
        match Cursor::new(content).next()? {
            Some((0xA0, content)) => MappingParameter::try_decode(content, "mappingParameter").map(Self::Mapping),
            Some((0xA1, content)) => AlgoParameter::try_decode(content, "algoParameter").map(Self::Algo),
            Some((tag, _)) => Err(Error::Unexpected { within: "algoConfiguration", tag }),
            None => Err(Error::Missing("algoConfiguration")),
        }
    }
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Mapping(mapping) => put(out, 0xA0, |out| mapping.encode(out)),
            Self::Algo(algo) => put(out, 0xA1, |out| algo.encode(out)),
        }
    }
}

sequence! {
    /// `MappingParameter`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct MappingParameter {
        /// What is shared.
        0x80 mapping_options: [u8; 1],
        /// The application whose parameters are used.
        0x81 mapping_source: Vec<u8> [5..=16],
    }
}

/// `algorithmID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlgorithmId {
    /// Milenage, TS 35.206.
    Milenage,
    /// TUAK, TS 35.231.
    Tuak,
    /// The USIM test algorithm (XOR), TS 34.108 §8.1.2.
    UsimTestAlgorithm,
}

impl Value for AlgorithmId {
    fn try_decode(content: &[u8], _: &'static str) -> Result<Self, Error> {
        match content {
            [1] => Ok(Self::Milenage),
            [2] => Ok(Self::Tuak),
            [3] => Ok(Self::UsimTestAlgorithm),
            _ => Err(Error::BadValue("algorithmID")),
        }
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Milenage => 1,
            Self::Tuak => 2,
            Self::UsimTestAlgorithm => 3,
        });
    }
}

/// r1 to r5 of Milenage unless stated, in bits.
pub const ROTATION_CONSTANTS: [u8; 5] = [64, 0, 32, 64, 96];

/// c1 to c5 of Milenage unless stated.
pub const XORING_CONSTANTS: [u8; 80] = {
    let mut constants = [0; 80];
    (constants[31], constants[47], constants[63], constants[79]) = (1, 2, 4, 8);
    constants
};

sequence! {
    /// `AlgoParameter`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct AlgoParameter {
        /// The algorithm.
        0x80 algorithm_id: AlgorithmId,
        /// Milenage: nothing. XOR: size of RES, 00 for 32, 01 for 64, 02 for 128 bits. TUAK: sizes of RES, MAC, CK and IK.
        0x81 algorithm_options: [u8; 1],
        /// K: 16 octets, or 32 with TUAK.
        0x82 key: Secret,
        /// OPc (16 octets) or TOPc (32); already derived from K.
        0x83 opc: Secret,
        /// r1 to r5 of Milenage, in bits.
        0x84 rotation_constants: [u8; 5] = ROTATION_CONSTANTS,
        /// c1 to c5 of Milenage.
        0x85 xoring_constants: [u8; 80] = XORING_CONSTANTS,
        /// How many authentications the key is good for.
        0x86 auth_counter_max: Option<[u8; 3]>,
        /// Rounds of Keccak for TUAK.
        0x87 number_of_keccak: u8 = 1,
    }
}

/// Octets that each TUAK option stands for; the place in the list is the option.
const TUAK_RES: [usize; 4] = [4, 8, 16, 32];
const TUAK_MAC: [usize; 3] = [8, 16, 32];
const TUAK_KEY: [usize; 2] = [16, 32];

impl AlgoParameter {
    /// `algorithmOptions` for TUAK from octets of RES, MAC, CK and IK; `None` if TS 35.231 has no such length.
    ///
    /// Bits 1 and 2 are RES, 3 and 4 MAC, 5 CK, 6 IK.
    pub fn tuak_options(res: usize, mac: usize, ck: usize, ik: usize) -> Option<u8> {
        let place =
            |lengths: &[usize], length| (0..).zip(lengths).find(|(_, known)| **known == length).map(|(at, _)| at);
        let (res, mac): (u8, u8) = (place(&TUAK_RES, res)?, place(&TUAK_MAC, mac)?);
        let (ck, ik): (u8, u8) = (place(&TUAK_KEY, ck)?, place(&TUAK_KEY, ik)?);
        Some(res | mac << 2 | ck << 4 | ik << 5)
    }

    /// Octets of RES, MAC, CK and IK that `algorithmOptions` state for TUAK.
    pub fn tuak_lengths(&self) -> Option<(usize, usize, usize, usize)> {
        let [options] = self.algorithm_options;
        let length = |lengths: &[usize], option: u8| lengths.get(usize::from(option)).copied();
        Some((
            length(&TUAK_RES, options & 3)?,
            length(&TUAK_MAC, options >> 2 & 3)?,
            length(&TUAK_KEY, options >> 4 & 1)?,
            length(&TUAK_KEY, options >> 5 & 1)?,
        ))
    }

    /// Octets of RES that `algorithmOptions` state for XOR.
    pub fn xor_res_length(&self) -> Option<usize> {
        match self.algorithm_options {
            [0] => Some(4),
            [1] => Some(8),
            [2] => Some(16),
            _ => None,
        }
    }
}

sequence! {
    /// `ssimParameters`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct SsimParameters {
        /// Name of the access network.
        0x80 network_name: Option<String>,
        /// Key derivation functions.
        0xA1 key_derivation_functions: Vec<[u8; 1]>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// USIM of TS.48 version 7.
    #[test]
    fn golden() {
        let der = "a0058000 81010ba12ca12a800103810102 8210000102030405060708090a0b0c0d0e0f 831000000000000000000000000000000000";
        let der = hex::decode(der.replace(' ', "")).unwrap();
        let aka = AkaParameter::from_der(&der).unwrap();
        let AlgoConfiguration::Algo(algo) = &aka.algo_configuration else { panic!("{aka:?}") };
        assert_eq!((algo.algorithm_id, algo.algorithm_options), (AlgorithmId::UsimTestAlgorithm, [2]));
        assert_eq!((aka.sqn_options, aka.sqn_delta, aka.sqn_init.len()), (2, [0, 0, 16, 0, 0, 0], 32));
        assert_eq!(aka.to_der(), der);
        assert!(!format!("{aka:?}").contains("0e"), "the key is not shown");
    }

    #[test]
    fn mapping_and_sequence_numbers() {
        let mapping = MappingParameter { mapping_options: [6], mapping_source: vec![0xA0, 0, 0, 0, 0x87] };
        let mut aka = AkaParameter::new(PeHeader::mandated(9), AlgoConfiguration::Mapping(mapping));
        aka.sqn_init[31] = [7, 255, 255, 255, 255, 255];
        assert_eq!(AkaParameter::from_der(&aka.to_der()).unwrap(), aka);
        aka.sqn_init.pop();
        assert_eq!(AkaParameter::from_der(&aka.to_der()), Err(Error::BadValue("AkaParameter.sqn_init")));
    }
}
