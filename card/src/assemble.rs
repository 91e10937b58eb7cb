//! Putting a card together: memory, operating system, applications, randomness.

use crate::entropy::{ChaCha, NoRandomness};
use crate::image::{FileNvm, ImageError, Manufacture};
use card_os::nvm::Nvm;
use card_os::{Card, Entropy};
use crypto::provider::{Deterministic, Provider, Remembering};
use std::path::Path;
use std::sync::Arc;

/// A card on any memory that personalisation prepared, without power.
///
/// Every application that exists on this card is built by [`applets::factory`], by the number in its registry entry; what
/// it computes on curves, it computes by `provider`.
pub fn card(
    manufacture: &Manufacture,
    nvm: Box<dyn Nvm>,
    entropy: Box<dyn Entropy>,
    provider: Arc<dyn Provider>,
) -> Card {
    Card::new(manufacture.profile.clone(), nvm, entropy, applets::factory(provider))
}

/// The card in an image, without power. The image belongs to it until it is dropped. It signs by ring.
///
/// ```no_run
/// use apdu::Icc;
///
/// let mut card = card::open("my.img".as_ref())?;
/// let atr = card.power_on();
/// let answer = Card::transmit(&mut card, &[0x00, 0xA4, 0x00, 0x04, 0x02, 0x3F, 0x00]);
/// # use card_os::Card;
/// # Ok::<(), card::OpenError>(())
/// ```
pub fn open(image: &Path) -> Result<Card, OpenError> {
    open_with(image, crypto_ring::provider())
}

/// The card in an image, as [`open`] gives it, which computes on curves by `provider`: several cards of one process may
/// share one, and with it the certificates they have verified.
pub fn open_with(image: &Path, provider: Arc<dyn Provider>) -> Result<Card, OpenError> {
    let nvm = FileNvm::open(image)?;
    Ok(with(nvm, ChaCha::from_operating_system()?, provider))
}

/// The card in an image, whose challenges and keys come from `entropy` alone: with the same image, entropy and commands it
/// gives the same answers. For tests.
pub fn open_repeatably(image: &Path, entropy: ChaCha) -> Result<Card, OpenError> {
    open_from(image, entropy, Arc::new(Remembering::new(Arc::new(Deterministic))))
}

/// The card in an image, which draws its challenges and keys from `entropy` and computes on curves by `provider`.
pub fn open_from(image: &Path, entropy: ChaCha, provider: Arc<dyn Provider>) -> Result<Card, OpenError> {
    Ok(with(FileNvm::open(image)?, entropy, provider))
}

fn with(nvm: FileNvm, entropy: ChaCha, provider: Arc<dyn Provider>) -> Card {
    let manufacture = nvm.manufacture().clone();
    card(&manufacture, Box::new(nvm), Box::new(entropy), provider)
}

/// A card cannot be taken out of its image.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The machine.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}
