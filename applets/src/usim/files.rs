//! The files a USIM reads itself. All the others are between profile, operating system and terminal.

use card_os::fs::FileId;

/// EF.IMSI, TS 31.102 §4.2.2.
pub(super) const IMSI: FileId = FileId(0x6F07);
/// EF.UST, service table, §4.2.8.
pub(super) const UST: FileId = FileId(0x6F38);
/// EF.AD, administrative data, §4.2.18.
pub(super) const AD: FileId = FileId(0x6FAD);
/// DF.5GS, §4.4.11, with EF.Routing_Indicator, §4.4.11.11.
pub(super) const ROUTING_INDICATOR: [FileId; 2] = [FileId(0x5FC0), FileId(0x4F0A)];
/// DF.SAIP with EF.SUCI_Calc_Info_USIM, TCA §9.
pub(super) const SUCI_CALC_INFO_USIM: [FileId; 2] = [FileId(0x5FD0), FileId(0x4F01)];
