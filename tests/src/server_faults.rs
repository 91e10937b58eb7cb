//! What lpac makes of servers that fail: played by `clients_lpac`, and in the catalogue of faults.

/// A fault, and what was seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The fault, as it is ordered.
    pub fault: &'static str,
    /// The step at which lpac ends; `success` if it installs the profile.
    pub at: &'static str,
    /// What it says.
    pub what: &'static str,
}

const fn seen(fault: &'static str, at: &'static str, what: &'static str) -> Seen {
    Seen { fault, at, what }
}

/// A sample, with lpac 8f68d5c (2.3), which does not look at TLS certificates, nor at the time in others.
pub const LPAC: &[Seen] = &[
    seen("initiateAuthentication=status:8.8.2/3.1", "es9p_initiate_authentication", "a fault that was ordered"),
    seen("authenticateClient=http:503", "es9p_authenticate_client", "HTTP status code error"),
    seen("getBoundProfilePackage=cut", "es9p_get_bound_profile_package", "HTTP transport failed"),
    seen("getBoundProfilePackage=torn", "es9p_get_bound_profile_package", "HTTP transport failed"),
    seen("initiateAuthentication=no-json", "es9p_initiate_authentication", "Not JSON"),
    seen("initiateAuthentication=wrong-signature", "es9p_authenticate_client", "the eUICC reports an error"),
    seen("initiateAuthentication=wrong-challenge", "es9p_authenticate_client", "the eUICC reports an error"),
    seen(
        "initiateAuthentication=wrong-address",
        "es9p_authenticate_client",
        "the eUICC's signature or challenge does not verify",
    ),
    seen("initiateAuthentication=expired", "success", ""),
    seen("initiateAuthentication=wrong-ci", "es9p_authenticate_client", "the eUICC reports an error"),
    seen("authenticateClient=wrong-oid", "es9p_get_bound_profile_package", "the eUICC reports an error"),
    seen("authenticateClient=metadata-name", "success", ""),
    seen("authenticateClient=code-flag", "es10b_prepare_download", ""),
    seen(
        "getBoundProfilePackage=segment-mac:3",
        "es10b_load_bound_profile_package",
        "replace_session_keys,scp03t_security_error",
    ),
    seen(
        "getBoundProfilePackage=segment-missing",
        "es10b_load_bound_profile_package",
        "load_profile_elements,install_failed_due_to_pe_processing_error",
    ),
    seen(
        "getBoundProfilePackage=truncated",
        "es10b_load_bound_profile_package",
        "initialise_secure_channel,(no_str_available)",
    ),
    seen(
        "getBoundProfilePackage=unknown-tlv",
        "es10b_load_bound_profile_package",
        "load_profile_elements,scp03t_structure_error",
    ),
    seen("tls=expired", "success", ""),
];
