//! SM-DP+.
