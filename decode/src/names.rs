//! Names of the fields that are in no table of TLVs, and the list of all.

use crate::field::{Kind, Name};
use crate::schema::{Form, Node};
use crate::tables::{es10, fcp, globalplatform, profile, toolkit};

macro_rules! names {
    ($($constant:ident $name:literal $label:literal $kind:ident;)*) => {
        $(pub(crate) const $constant: Name = Name::new($name, $label, Kind::$kind);)*

        const OWN: &[Name] = &[$($constant),*];
    };
}

names! {
    UNKNOWN "unknown" "unknown" Octets;
    MALFORMED "malformed" "not decoded" Octets;
    DATA "data" "data" Octets;
    PROTECTED "protected" "protected data" Octets;

    CLASS "class" "class" Number;
    CHANNEL "channel" "channel" Number;
    SECURE_MESSAGING "secure_messaging" "secure messaging" Text;
    CHAINED "chained" "more commands of the chain follow" Flag;
    INSTRUCTION "instruction" "instruction" Number;
    P1 "p1" "P1" Number;
    P2 "p2" "P2" Number;
    LC "lc" "Lc" Number;
    LE "le" "Le" Number;
    MAC "mac" "MAC" Octets;
    STATUS_WORD "status_word" "status word" Number;
    REPEATS "repeats" "repeats command" Number;
    CONTINUES "continues" "continues command" Number;
    APPLICATION "application" "application" Text;
    DIRECTORY "directory" "directory" Text;
    FILE "file" "file" Text;
    FILE_ID "file_id" "file identifier" Octets;
    SFI "sfi" "short file identifier" Number;
    OFFSET "offset" "offset" Number;
    RECORD "record" "record" Number;
    RECORD_MODE "record_mode" "mode" Text;
    PATTERN "pattern" "pattern" Octets;
    RECORD_NUMBERS "record_numbers" "record numbers" Octets;

    SELECT_BY "select.by" "selection" Text;
    SELECT_AID "select.aid" "AID" Octets;
    SELECT_PATH "select.path" "path" Text;
    SELECT_RETURN "select.return" "wanted" Text;
    STATUS_PURPOSE "status.purpose" "purpose" Text;

    PIN_REFERENCE "pin.reference" "key reference" Number;
    PIN_OCTETS "pin.octets" "PIN" Octets;
    PIN_TRIES "pin.tries_left" "tries left" Number;

    CHANNEL_OPERATION "manage_channel.operation" "operation" Text;
    CHANNEL_NUMBER "manage_channel.channel" "channel" Number;

    AUTHENTICATE_CONTEXT "authenticate.context" "context" Text;
    RAND "authenticate.rand" "RAND" Octets;
    AUTN "authenticate.autn" "AUTN" Octets;
    SRES "authenticate.sres" "SRES" Octets;
    KC "authenticate.kc" "Kc" Octets;
    RES "authenticate.res" "RES" Octets;
    CK "authenticate.ck" "CK" Octets;
    IK "authenticate.ik" "IK" Octets;
    AUTS "authenticate.auts" "AUTS" Octets;
    NAF_ID "authenticate.naf_id" "NAF_ID" Octets;
    IMPI "authenticate.impi" "IMPI" Text;
    KS_EXT_NAF "authenticate.ks_ext_naf" "Ks_ext_NAF" Octets;
    VSERVICE_ID "authenticate.vservice_id" "Vservice_Id" Octets;
    VK_ID "authenticate.vk_id" "VK_Id" Octets;
    VSTK_RAND "authenticate.vstk_rand" "VSTK_RAND" Octets;
    VSTK "authenticate.vstk" "VSTK" Octets;

    CHALLENGE "challenge" "challenge" Octets;
    IDENTITY "identity.context" "identity" Text;
    SUSPEND_OPERATION "suspend.operation" "operation" Text;
    SUSPEND_MINIMUM "suspend.minimum" "minimum duration" Text;
    SUSPEND_MAXIMUM "suspend.maximum" "maximum duration" Text;
    RESUME_TOKEN "suspend.token" "resume token" Octets;

    ES10_FUNCTION "es10.function" "function" Text;
    ES10_REQUEST "es10.request" "request" Group;
    ES10_RESPONSE "es10.response" "response" Group;
    STORE_DATA_BLOCK "store_data.block" "block" Number;
    STORE_DATA_LAST "store_data.last" "last block" Flag;
    STORE_DATA_SO_FAR "store_data.octets" "octets so far" Number;
    STORE_DATA_MISSING "store_data.missing" "missing before it" Text;

    BPP_PACKAGE "bpp.package" "BoundProfilePackage" Group;
    BPP_LENGTH "bpp.length" "length" Number;
    BPP_SEGMENT "bpp.segment" "segment" Number;
    BPP_PART "bpp.part" "part of a segment" Number;
    BPP_OPENED "bpp.opened" "opened" Group;
    BPP_CLOSED "bpp.closed" "not opened" Text;
    BPP_PROFILE "bpp.profile_octets" "octets of the profile" Number;

    GP_KEY_VERSION "gp.key_version_number" "key version number" Number;
    GP_KEY_ID "gp.key_id" "key identifier" Number;
    GP_HOST_CHALLENGE "gp.host_challenge" "host challenge" Octets;
    GP_CARD_CHALLENGE "gp.card_challenge" "card challenge" Octets;
    GP_CARD_CRYPTOGRAM "gp.card_cryptogram" "card cryptogram" Octets;
    GP_HOST_CRYPTOGRAM "gp.host_cryptogram" "host cryptogram" Octets;
    GP_DIVERSIFICATION "gp.diversification_data" "key diversification data" Octets;
    GP_PROTOCOL "gp.secure_channel_protocol" "secure channel protocol" Text;
    GP_SEQUENCE "gp.sequence_counter" "sequence counter" Number;
    GP_SECURITY_LEVEL "gp.security_level" "security level" Number;
    GP_TAG "gp.tag" "tag" Octets;
    GP_SCOPE "gp.scope" "scope" Text;
    GP_PURPOSE "gp.install_for" "for" Text;
    GP_LOAD_FILE "gp.load_file_aid" "executable load file" Octets;
    GP_MODULE "gp.module_aid" "executable module" Octets;
    GP_SECURITY_DOMAIN "gp.security_domain_aid" "security domain" Octets;
    GP_INSTANCE "gp.aid" "AID" Octets;
    GP_PRIVILEGES "gp.privileges" "privileges" Octets;
    GP_HASH "gp.load_file_hash" "load file data block hash" Octets;
    GP_PARAMETERS "gp.install_parameters" "install parameters" Group;
    GP_TOKEN "gp.token" "token" Octets;
    GP_KEYS "gp.keys" "keys" Octets;
    GP_KEY_CHECK "gp.key_check_values" "key check values" Octets;
    GP_BLOCK "gp.block" "block" Number;
    GP_STATE "gp.state" "state" Number;

    PROFILE_BITS "terminal_profile.bit" "announced" Text;
    PROFILE_OCTETS "terminal_profile.octets" "terminal profile" Octets;
    PROFILE_SOFT_KEYS "terminal_profile.soft_keys" "soft keys" Number;
    PROFILE_CHANNELS "terminal_profile.channels" "channels" Number;
    PROFILE_LINES "terminal_profile.lines" "characters down the display" Number;
    PROFILE_COLUMNS "terminal_profile.columns" "characters across the display" Number;
    PROFILE_REDUCTION "terminal_profile.menu_width_reduction" "characters fewer across in a menu" Number;
    PROFILE_FRAMES "terminal_profile.frames" "frames" Number;
    PROFILE_TIA "terminal_profile.tia_eia" "version of TIA/EIA-136" Number;

    CAT_COMMAND "cat.command" "proactive command" Text;
    CAT_ENVELOPE "cat.envelope" "envelope" Text;
    CAT_NUMBER "cat.command_number" "command number" Number;
    CAT_TYPE "cat.command_type" "type of command" Number;
    CAT_QUALIFIER "cat.command_qualifier" "command qualifier" Number;
    CAT_SOURCE "cat.source" "from" Number;
    CAT_DESTINATION "cat.destination" "to" Number;
    CAT_EVENT "cat.event" "event" Number;

    SMS_TYPE "sms.type" "TP-Message-Type-Indicator" Text;
    SMS_FROM "sms.from" "TP-Originating-Address" Text;
    SMS_TO "sms.to" "TP-Destination-Address" Text;
    SMS_REFERENCE "sms.reference" "TP-Message-Reference" Number;
    SMS_PROTOCOL "sms.protocol" "TP-Protocol-Identifier" Number;
    SMS_CODING "sms.coding" "TP-Data-Coding-Scheme" Number;
    SMS_AT "sms.at" "TP-Service-Centre-Time-Stamp" Text;
    SMS_PART "sms.part" "part" Text;
    SMS_PORTS "sms.ports" "ports" Text;
    SMS_HEADER_ELEMENT "sms.header_element" "header element" Octets;
    SMS_TEXT "sms.text" "text" Text;
    SMS_DATA "sms.data" "user data" Octets;
    SMS_STATUS "sms.status" "status of the record" Text;
    SMS_CENTRE "sms.service_centre" "service centre" Text;

    SECURED_PACKET "secured.packet" "secured packet" Group;
    SECURED_SPI "secured.spi" "SPI" Octets;
    SECURED_KIC "secured.kic" "KIc" Number;
    SECURED_KID "secured.kid" "KID" Number;
    SECURED_TAR "secured.tar" "TAR" Octets;
    SECURED_COUNTER "secured.counter" "CNTR" Number;
    SECURED_PADDING "secured.padding" "PCNTR" Number;
    SECURED_STATUS "secured.status" "response status" Number;
    SECURED_POR "secured.proof_of_receipt" "proof of receipt" Text;
    SECURED_INTEGRITY "secured.integrity" "RC, CC or DS" Octets;
    SECURED_DATA "secured.data" "secured data" Octets;

    CONTENT "content" "content" Group;
    ICCID "ef.iccid" "ICCID" Text;
    IMSI "ef.imsi" "IMSI" Text;
    AD_MODE "ef.ad_mode" "UE operation mode" Number;
    MNC_LENGTH "ef.mnc_length" "length of the MNC" Number;
    SPN_CONDITION "ef.spn_display" "display condition" Number;
    NAME "ef.name" "name" Text;
    SERVICE "ef.service" "service" Text;
    NUMBER "ef.number" "number" Text;
    PLMN "ef.plmn" "PLMN" Text;
    LANGUAGE "ef.language" "language" Text;
    ACCESS_CLASSES "ef.access_classes" "access classes" Text;
    KSI "ef.ksi" "key set identifier" Number;
    PERIOD "ef.period" "period" Text;
    LOCATION "ef.location" "location" Octets;
    UPDATE_STATUS "ef.update_status" "update status" Number;
    TMSI "ef.tmsi" "TMSI" Octets;
    URI "ef.uri" "URI" Text;
    KEY_BYTES "ef.keys" "keys" Octets;
    ROUTING "ef.routing_indicator" "routing indicator" Text;
    FREE "ef.free" "unused, all FF" Flag;
    SIGNATURE "ef.p_tmsi_signature" "P-TMSI signature" Octets;
    GUTI "ef.guti" "GUTI" Octets;
    PHASE "ef.phase" "phase" Text;
    FIRST_AREA "ef.first_area" "first area" Octets;
    LAST_AREA "ef.last_area" "last area" Octets;
    PNN_RECORD "ef.pnn_record" "record of EF.PNN" Number;
    MAILBOX "ef.mailbox" "record of EF.MBDN" Number;
    WAITING "ef.waiting" "messages waiting" Number;
    FORWARDED "ef.forwarded" "forwarded" Text;
    UNITS "ef.units" "units" Number;
    CURRENCY "ef.currency" "currency" Text;
    PRICE "ef.price" "price of a unit" Text;
    CELL_BROADCAST "ef.cell_broadcast" "cell broadcast message" Text;
    BITS "ef.bits" "value" Number;
    SUBADDRESS "ef.subaddress" "subaddress" Octets;
    NEXT_RECORD "ef.next_record" "next record" Number;
    GBA_RAND "ef.gba_rand" "RAND" Text;
    GBA_IDENTIFIER "ef.gba_b_tid" "B-TID" Text;
    GBA_LIFETIME "ef.gba_lifetime" "lifetime of the key" Text;

    GSM_FREE_MEMORY "gsm.free_memory" "free memory" Number;
    GSM_FILE_SIZE "gsm.file_size" "file size" Number;
    GSM_FILE_ID "gsm.file_id" "file identifier" Octets;
    GSM_FILE_TYPE "gsm.file_type" "type of file" Number;
    GSM_ACCESS "gsm.access" "access conditions" Octets;
    GSM_STATUS "gsm.status" "file status" Number;
    GSM_STRUCTURE "gsm.structure" "structure" Number;
    GSM_RECORD_LENGTH "gsm.record_length" "record length" Number;
    GSM_CHARACTERISTICS "gsm.characteristics" "file characteristics" Number;
    GSM_DFS "gsm.dfs" "DFs directly below" Number;
    GSM_EFS "gsm.efs" "EFs directly below" Number;
    GSM_CODES "gsm.codes" "CHVs, UNBLOCK CHVs and administrative codes" Number;
    GSM_CODE "gsm.code" "code" Text;

    FCP_RECORD_LENGTH "fcp.record_length" "record length" Number;
    FCP_RECORDS "fcp.records" "records" Number;
    FCP_ARR_FILE "fcp.arr_file" "EF.ARR" Octets;
    FCP_ARR_RECORD "fcp.arr_record" "record of EF.ARR" Number;

    ATR "atr.octets" "ATR" Octets;
    ATR_CONVENTION "atr.convention" "convention" Text;
    ATR_INTERFACE "atr.interface" "interface byte" Number;
    ATR_PROTOCOL "atr.protocol" "protocol" Text;
    ATR_CLOCK "atr.clock_rate_factor" "Fi" Number;
    ATR_BAUD "atr.baud_rate_factor" "Di" Number;
    ATR_HISTORICAL "atr.historical" "historical bytes" Octets;
    ATR_OBJECT "atr.object" "COMPACT-TLV object" Octets;
    ATR_CLOCK_STOP "atr.clock_stop" "clock stop" Text;
    ATR_CLASSES "atr.classes" "classes of operating conditions" Text;
    ATR_UICC "atr.uicc" "UICC" Text;
    ATR_EUICC "atr.euicc" "eUICC-related functions supported" Flag;
    ATR_CHECK "atr.check" "check byte" Number;
}

/// Every field there is, ordered by name, for tables of other programs: names do not change between releases, and values of one
/// name have one kind.
pub fn all() -> Vec<Name> {
    let mut names: Vec<Name> = [OWN, profile::ALL, crate::certificate::NAMES].concat();
    names.extend(toolkit::OBJECTS.iter().map(|object| object.name));
    let mut seen: Vec<*const Node> = Vec::new();
    for message in es10::MESSAGES {
        collect(message.request, &mut names, &mut seen);
        collect(message.response, &mut names, &mut seen);
    }
    for nodes in [
        es10::COMMANDS,
        es10::INITIALISE_SECURE_CHANNEL,
        fcp::TEMPLATES,
        fcp::ACCESS_RULE,
        fcp::APPLICATION_TEMPLATE,
        fcp::TERMINAL_CAPABILITY,
        globalplatform::DATA_OBJECTS,
        globalplatform::REGISTRY,
        globalplatform::SEARCH,
        globalplatform::DELETE,
        globalplatform::INSTALL_PARAMETERS,
    ] {
        collect(nodes, &mut names, &mut seen);
    }
    names.sort_by_key(|name| name.name);
    names.dedup();
    names
}

fn collect(nodes: &'static [Node], names: &mut Vec<Name>, seen: &mut Vec<*const Node>) {
    if nodes.is_empty() || seen.contains(&nodes.as_ptr()) {
        return;
    }
    seen.push(nodes.as_ptr());
    for node in nodes {
        names.push(node.name);
        if let Form::Inside(inside) = node.form {
            collect(inside, names, seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_meaning() {
        let names = all();
        let twice: Vec<_> = names.windows(2).filter(|pair| pair[0].name == pair[1].name).collect();
        assert_eq!(twice, [] as [&[Name]; 0]);
        for Name { name, .. } in names {
            assert!(
                name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'.'),
                "{name}"
            );
        }
    }
}
