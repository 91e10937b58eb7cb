//! SGP.22 data objects.
