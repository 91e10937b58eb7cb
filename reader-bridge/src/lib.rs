//! How a card meets the world, and how a host meets a card.
