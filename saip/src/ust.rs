//! Services of EF.UST by their number, those that generated profiles offer or the card depends on. TS 31.102 §4.2.8.

/// Fixed dialling numbers (FDN).
pub const FDN: usize = 2;
/// Short message storage (SMS).
pub const SMS: usize = 10;
/// Short message service parameters (SMSP).
pub const SMSP: usize = 12;
/// Service provider name.
pub const SPN: usize = 19;
/// User controlled PLMN selector with access technology.
pub const USER_PLMNS: usize = 20;
/// MSISDN.
pub const MSISDN: usize = 21;
/// GSM access.
pub const GSM_ACCESS: usize = 27;
/// Shall be set.
pub const ALWAYS_SET: usize = 33;
/// GSM security context.
pub const GSM_SECURITY_CONTEXT: usize = 38;
/// Operator controlled PLMN selector with access technology.
pub const OPERATOR_PLMNS: usize = 42;
/// HPLMN selector with access technology.
pub const HOME_PLMNS: usize = 43;
/// Equivalent HPLMN.
pub const EQUIVALENT_HOME_PLMNS: usize = 71;
/// EPS mobility management information.
pub const EPS_MOBILITY_MANAGEMENT: usize = 85;
/// 5GS mobility management information.
pub const FIVE_GS_MOBILITY_MANAGEMENT: usize = 122;
/// 5G security parameters.
pub const FIVE_G_SECURITY_PARAMETERS: usize = 123;
/// Subscription identifier privacy support.
pub const SUBSCRIPTION_IDENTIFIER_PRIVACY: usize = 124;
/// SUCI calculation by the USIM.
pub const SUCI_CALCULATION_BY_THE_USIM: usize = 125;
/// Local phone book: one in ADF.USIM.
pub const LOCAL_PHONE_BOOK: usize = 1;
/// Extension 2, of fixed dialling numbers.
pub const EXTENSION_2: usize = 3;
/// Service dialling numbers (SDN).
pub const SDN: usize = 4;
/// Data download via SMS-PP.
pub const DATA_DOWNLOAD_SMS_PP: usize = 28;
/// Extension 5, of the own number.
pub const EXTENSION_5: usize = 44;
/// PLMN network name.
pub const NETWORK_NAME: usize = 45;
/// Operator PLMN list.
pub const OPERATOR_PLMN_LIST: usize = 46;
/// eCall data.
pub const ECALL_DATA: usize = 89;
