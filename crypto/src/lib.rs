//! The cryptography of UICC and eUICC.
