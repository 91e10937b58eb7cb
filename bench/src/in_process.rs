//! The card without a reader: commands and responses in one process, in a buffer that is used again.

use apdu::StatusWord;
use card_os::fs::{AccessReference, File, FileId, FileKind, FileNumber, PathError, Structure};
use card_os::nvm::{MemoryNvm, NvmError};
use card_os::{Card, CardProfile, DomainImage, Entropy};
use hex_literal::hex;

use crate::figure::{Figure, Target};
use crate::rounds::{medians, per_second};

/// SELECT EF.ICCID, READ BINARY of its ten bytes.
pub(crate) const SELECT_AND_READ: [&[u8]; 2] = [&hex!("00A40004022FE2"), &hex!("00B000000A")];

const PASSES: u32 = 200_000;

/// SELECT EF.ICCID and READ BINARY.
pub(crate) fn select_and_read() -> Result<Figure, Box<dyn std::error::Error>> {
    let mut card = card().map_err(|error| format!("{error:?}"))?;
    let mut response = Vec::with_capacity(258);
    for command in SELECT_AND_READ {
        response.clear();
        card.transmit_into(command, &mut response);
        if !response.ends_with(&StatusWord::OK.0.to_be_bytes()) && response.first() != Some(&0x61) {
            return Err(format!("{command:02X?} is answered {response:02X?}").into());
        }
    }
    let mut round = || {
        let passes = per_second(PASSES, || {
            for command in SELECT_AND_READ {
                response.clear();
                card.transmit_into(std::hint::black_box(command), &mut response);
                std::hint::black_box(&response);
            }
        });
        passes * 2.0
    };
    let [rate] = medians(5, [&mut round]);
    Ok(Figure::new("in_process.select_and_read", rate, "APDU/s").target(Target::AtLeast(1_000_000.0)))
}

/// A card with EF.ICCID under an access rule, among 200 other files.
fn card() -> Result<Card, CardError> {
    let mut image = DomainImage::new();
    let rule = AccessReference { arr: FileId::MF_ARR, record: 1 };
    let mf = image.add_file(File::new(FileId::MF, FileNumber::MF, FileKind::Mf, rule), Vec::new())?;
    let ef = |fid, structure| File::new(fid, mf, FileKind::Ef(structure), rule);
    let arr = Structure::LinearFixed { record_length: 16, records: 1 };
    image.add_file(ef(FileId::MF_ARR, arr), hex!("8001019000 80015AA40683010A950108").to_vec())?;
    let bytes = |size| Structure::Transparent { size };
    for fid in 0x4F00..0x4F00 + 200 {
        image.add_file(ef(FileId(fid), bytes(9)), vec![0xFF; 9])?;
    }
    image.add_file(ef(FileId::ICCID, bytes(10)), hex!("98882110000000000017").to_vec())?;
    let mut memory = MemoryNvm::default();
    Card::format(&mut memory, image, Vec::new(), None)?;
    let mut card = Card::new(CardProfile::default(), Box::new(memory), Box::new(NoEntropy), |_| None);
    card.reset();
    Ok(card)
}

struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(0);
    }
}

/// The card of the measurement could not be made.
#[derive(Debug)]
#[expect(dead_code, reason = "shown with Debug")]
enum CardError {
    File(PathError),
    Memory(NvmError),
}

impl From<PathError> for CardError {
    fn from(error: PathError) -> Self {
        Self::File(error)
    }
}

impl From<NvmError> for CardError {
    fn from(error: NvmError) -> Self {
        Self::Memory(error)
    }
}
