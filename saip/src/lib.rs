//! TCA profile package.
