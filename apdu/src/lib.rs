//! Bytes to commands and responses.
