//! The card application toolkit: types of commands, objects, results, events. TS 102 223 §8, §9, TS 31.111.

use crate::field::{Kind, Name};
use Form::{
    Address, Aid, Alpha, Ascii, CodedText, Codes, CommandApdu, CommandDetails, Devices, Duration, Events, Files,
    Identity, Item, Location, Moment, Number, Octets, ResponseApdu, Result, Timer, Tpdu,
};

/// What an object's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Octets.
    Octets,
    /// A command for another card.
    CommandApdu,
    /// The response of another card.
    ResponseApdu,
    /// Date, time and time zone.
    Moment,
    /// A number with names.
    Codes(&'static [(u8, &'static str)]),
    /// One octet, or several as one number.
    Number,
    /// Number, type, qualifier of a command.
    CommandDetails,
    /// From which device to which.
    Devices,
    /// General result and what follows it.
    Result,
    /// Unit and count.
    Duration,
    /// Text of the GSM alphabet or UCS2, without a coding octet.
    Alpha,
    /// Data coding scheme and text.
    CodedText,
    /// Identifier and text of an item.
    Item,
    /// Type of number and digits.
    Address,
    /// An SMS TPDU.
    Tpdu,
    /// Events.
    Events,
    /// A mobile identity: its type in the first half octet, then digits, swapped. TS 24.008 §10.5.1.4
    Identity,
    /// An application identifier.
    Aid,
    /// ASCII.
    Ascii,
    /// Hours, minutes, seconds, swapped digits.
    Timer,
    /// A list of files.
    Files,
    /// MCC, MNC, LAC, cell.
    Location,
}

impl Form {
    const fn kind(self) -> Kind {
        match self {
            Self::Number | Self::Codes(_) => Kind::Number,
            Self::CommandDetails | Self::Devices | Self::Tpdu => Kind::Group,
            Self::Octets
            | Self::CommandApdu
            | Self::ResponseApdu
            | Self::Moment
            | Self::Aid
            | Self::Result
            | Self::Files
            | Self::Events => Kind::Octets,
            _ => Kind::Text,
        }
    }
}

/// One kind of object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object {
    pub(crate) tag: u16,
    pub(crate) name: Name,
    pub(crate) form: Form,
}

macro_rules! objects {
    ($($tag:literal $name:ident $label:literal $form:expr;)*) => {
        /// The objects of proactive commands, terminal responses and envelopes. TS 102 223 §9.3, TS 101 220 §7.2.
        pub(crate) static OBJECTS: &[Object] = &[$(Object {
            tag: $tag,
            name: Name::new(concat!("cat.", stringify!($name)), $label, Form::kind($form)),
            form: $form,
        }),*];
    };
}

objects! {
    0x01 command_details "command details" CommandDetails;
    0x02 device_identities "device identities" Devices;
    0x03 result "result" Result;
    0x04 duration "duration" Duration;
    0x05 alpha_identifier "alpha identifier" Alpha;
    0x06 address "address" Address;
    0x07 capability_configuration "capability configuration parameters" Octets;
    0x08 subaddress "subaddress" Octets;
    0x09 ss_string "SS string" Address;
    0x0A ussd_string "USSD string" CodedText;
    0x0B sms_tpdu "SMS TPDU" Tpdu;
    0x0C cell_broadcast_page "cell broadcast page" Octets;
    0x0D text_string "text string" CodedText;
    0x0E tone "tone" Codes(TONES);
    0x0F item "item" Item;
    0x10 item_identifier "item identifier" Number;
    0x11 response_length "response length" Octets;
    0x12 file_list "file list" Files;
    0x13 location_information "location information" Location;
    0x14 imei "IMEI" Identity;
    0x15 help_request "help request" Octets;
    0x16 network_measurement_results "network measurement results" Octets;
    0x17 default_text "default text" CodedText;
    0x18 items_next_action_indicator "items next action indicator" Octets;
    0x19 event_list "event list" Events;
    0x1A cause "cause" Octets;
    0x1B location_status "location status" Codes(LOCATION_STATUSES);
    0x1C transaction_identifier "transaction identifier" Octets;
    0x1D bcch_channel_list "BCCH channel list, or data connection status" Octets;
    0x1E icon_identifier "icon identifier" Octets;
    0x1F item_icon_identifier_list "item icon identifier list" Octets;
    0x20 card_reader_status "card reader status" Number;
    0x21 card_atr "card ATR" Octets;
    0x22 c_apdu "C-APDU" CommandApdu;
    0x23 r_apdu "R-APDU" ResponseApdu;
    0x24 timer_identifier "timer identifier" Number;
    0x25 timer_value "timer value" Timer;
    0x26 date_time_and_time_zone "date, time and time zone" Moment;
    0x27 call_control_requested_action "call control requested action" Octets;
    0x28 at_command "AT command" Ascii;
    0x29 at_response "AT response" Ascii;
    0x2A bc_repeat_indicator "BC repeat indicator, or data connection type" Number;
    0x2B immediate_response "immediate response" Octets;
    0x2C dtmf_string "DTMF string" Octets;
    0x2D language "language" Ascii;
    0x2E timing_advance "timing advance, or (E/5G)SM cause" Octets;
    0x2F aid "AID" Aid;
    0x30 browser_identity "browser identity" Number;
    0x31 url "URL, or IMS URI" Ascii;
    0x32 bearer "bearer" Octets;
    0x33 provisioning_reference_file "provisioning reference file" Octets;
    0x34 browser_termination_cause "browser termination cause, or supported radio access technologies" Number;
    0x35 bearer_description "bearer description" Octets;
    0x36 channel_data "channel data" Octets;
    0x37 channel_data_length "channel data length" Number;
    0x38 channel_status "channel status" Octets;
    0x39 buffer_size "buffer size" Number;
    0x3A card_reader_identifier "card reader identifier, or REFRESH enforcement policy" Octets;
    0x3B file_update_information "file update information, or application specific refresh data" Octets;
    0x3C transport_level "UICC/terminal interface transport level" Octets;
    0x3E other_address "other address" Octets;
    0x3F access_technology "access technology" Octets;
    0x40 display_parameters "display parameters, or DNS server address" Octets;
    0x41 service_record "service record" Octets;
    0x42 device_filter "device filter" Octets;
    0x43 service_search "service search" Octets;
    0x44 attribute_information "attribute information" Octets;
    0x45 service_availability "service availability" Octets;
    0x46 esn "ESN" Octets;
    0x47 network_access_name "network access name" Octets;
    0x48 cdma_sms_tpdu "CDMA SMS TPDU" Octets;
    0x49 remote_entity_address "remote entity address" Octets;
    0x4A wlan_identifier "I-WLAN identifier" Octets;
    0x4B wlan_access_status "I-WLAN access status" Octets;
    0x50 text_attribute "text attribute" Octets;
    0x51 item_text_attribute_list "item text attribute list" Octets;
    0x52 pdp_context_activation "PDP context activation parameter" Octets;
    0x53 contactless_state_request "contactless state request" Octets;
    0x54 contactless_functionality_state "contactless functionality state" Octets;
    0x55 csg_cell_selection_status "CSG cell selection status" Octets;
    0x56 csg_identifier "CSG identifier" Octets;
    0x57 hnb_name "HNB name, or extended rejection cause code" Octets;
    0x60 mac "MAC" Octets;
    0x61 emergency_call_object "emergency call object" Octets;
    0x62 imeisv "IMEISV" Identity;
    0x63 battery_state "battery state" Number;
    0x64 browsing_status "browsing status" Octets;
    0x65 network_search_mode "network search mode" Codes(SEARCH_MODES);
    0x66 frame_layout "frame layout" Octets;
    0x67 frames_information "frames information" Octets;
    0x68 frame_identifier "frame identifier" Number;
    0x69 measurement_qualifier "UTRAN or E-UTRAN measurement qualifier" Number;
    0x6A multimedia_message_reference "multimedia message reference" Octets;
    0x6B multimedia_message_identifier "multimedia message identifier" Octets;
    0x6C multimedia_message_transfer_status "multimedia message transfer status" Octets;
    0x6D meid "MEID" Octets;
    0x6E multimedia_content_identifier "multimedia message content identifier" Octets;
    0x6F multimedia_message_notification "multimedia message notification" Octets;
    0x70 last_envelope "last envelope" Octets;
    0x71 registry_application_data "registry application data" Octets;
    0x72 plmn_wact_list "PLMNwAcT list" Octets;
    0x73 routing_area "routing area information" Octets;
    0x74 update_type "update, attach or registration type" Number;
    0x75 rejection_cause "rejection cause code" Number;
    0x76 geographical_location "geographical location parameters, or IARI" Octets;
    0x77 gad_shapes "GAD shapes, or IMPU list" Octets;
    0x78 nmea_sentence "NMEA sentence, or IMS status code" Ascii;
    0x79 plmn_list "PLMN list" Octets;
    0x7A broadcast_network_information "broadcast network information" Octets;
    0x7B activate_descriptor "ACTIVATE descriptor" Octets;
    0x7C eps_pdn_connection "EPS PDN connection activation parameters" Octets;
    0x7D tracking_area "tracking area identification" Octets;
    0x7E csg_id_list "CSG ID list, or media type" Octets;
}

/// TS 102 223 §8.27.
const LOCATION_STATUSES: &[(u8, &str)] = &[(0x00, "normal service"), (0x01, "limited service"), (0x02, "no service")];

/// TS 102 223 §8.108.
const SEARCH_MODES: &[(u8, &str)] = &[(0x00, "manual"), (0x01, "automatic")];

/// TS 102 223 §8.16.
const TONES: &[(u8, &str)] = &[
    (0x01, "dial tone"),
    (0x02, "called subscriber busy"),
    (0x03, "congestion"),
    (0x04, "radio path acknowledge"),
    (0x05, "radio path not available, or call dropped"),
    (0x06, "error, special information"),
    (0x07, "call waiting tone"),
    (0x08, "ringing tone"),
    (0x10, "general beep"),
    (0x11, "positive acknowledgement tone"),
    (0x12, "negative acknowledgement or error tone"),
    (0x13, "ringing tone as selected by the user for incoming speech calls"),
    (0x14, "alert tone as selected by the user for incoming messages"),
    (0x15, "critical alert"),
    (0x20, "vibrate only, if available"),
    (0x30, "happy tone"),
    (0x31, "sad tone"),
    (0x32, "urgent action tone"),
    (0x33, "question tone"),
    (0x34, "message received tone"),
    (0x40, "melody 1"),
    (0x41, "melody 2"),
    (0x42, "melody 3"),
    (0x43, "melody 4"),
    (0x44, "melody 5"),
    (0x45, "melody 6"),
    (0x46, "melody 7"),
    (0x47, "melody 8"),
];

/// Types of proactive commands. TS 102 223 §9.4, TS 31.111 §9.4.
pub(crate) const COMMANDS: &[(u8, &str)] = &[
    (0x01, "REFRESH"),
    (0x02, "MORE TIME"),
    (0x03, "POLL INTERVAL"),
    (0x04, "POLLING OFF"),
    (0x05, "SET UP EVENT LIST"),
    (0x10, "SET UP CALL"),
    (0x11, "SEND SS"),
    (0x12, "SEND USSD"),
    (0x13, "SEND SHORT MESSAGE"),
    (0x14, "SEND DTMF"),
    (0x15, "LAUNCH BROWSER"),
    (0x16, "GEOGRAPHICAL LOCATION REQUEST"),
    (0x20, "PLAY TONE"),
    (0x21, "DISPLAY TEXT"),
    (0x22, "GET INKEY"),
    (0x23, "GET INPUT"),
    (0x24, "SELECT ITEM"),
    (0x25, "SET UP MENU"),
    (0x26, "PROVIDE LOCAL INFORMATION"),
    (0x27, "TIMER MANAGEMENT"),
    (0x28, "SET UP IDLE MODE TEXT"),
    (0x30, "PERFORM CARD APDU"),
    (0x31, "POWER ON CARD"),
    (0x32, "POWER OFF CARD"),
    (0x33, "GET READER STATUS"),
    (0x34, "RUN AT COMMAND"),
    (0x35, "LANGUAGE NOTIFICATION"),
    (0x40, "OPEN CHANNEL"),
    (0x41, "CLOSE CHANNEL"),
    (0x42, "RECEIVE DATA"),
    (0x43, "SEND DATA"),
    (0x44, "GET CHANNEL STATUS"),
    (0x45, "SERVICE SEARCH"),
    (0x46, "GET SERVICE INFORMATION"),
    (0x47, "DECLARE SERVICE"),
    (0x50, "SET FRAMES"),
    (0x51, "GET FRAMES STATUS"),
    (0x60, "RETRIEVE MULTIMEDIA MESSAGE"),
    (0x61, "SUBMIT MULTIMEDIA MESSAGE"),
    (0x62, "DISPLAY MULTIMEDIA MESSAGE"),
    (0x70, "ACTIVATE"),
    (0x71, "CONTACTLESS STATE CHANGED"),
    (0x72, "COMMAND CONTAINER"),
    (0x73, "ENCAPSULATED SESSION CONTROL"),
    (0x81, "end of the proactive session"),
];

/// Qualifiers of commands. TS 102 223 §8.6.
pub(crate) const QUALIFIERS: &[(u8, u8, &str)] = &[
    (0x01, 0x00, "NAA initialization and full file change notification"),
    (0x01, 0x01, "file change notification"),
    (0x01, 0x02, "NAA initialization and file change notification"),
    (0x01, 0x03, "NAA initialization"),
    (0x01, 0x04, "UICC reset"),
    (0x01, 0x05, "NAA application reset"),
    (0x01, 0x06, "NAA session reset"),
    (0x01, 0x07, "steering of roaming"),
    (0x01, 0x08, "steering of roaming for I-WLAN"),
    (0x01, 0x09, "eUICC profile state change"),
    (0x01, 0x0A, "application update"),
    (0x26, 0x00, "location information"),
    (0x26, 0x01, "IMEI"),
    (0x26, 0x02, "network measurement results"),
    (0x26, 0x03, "date, time and time zone"),
    (0x26, 0x04, "language setting"),
    (0x26, 0x05, "timing advance, or (E/5G)SM cause"),
    (0x26, 0x06, "access technology"),
    (0x26, 0x07, "ESN"),
    (0x26, 0x08, "IMEISV"),
    (0x26, 0x09, "search mode"),
    (0x26, 0x0A, "charge state of the battery"),
    (0x26, 0x0B, "MEID"),
    (0x26, 0x0C, "WSID of the current I-WLAN connection"),
    (0x26, 0x0D, "broadcast network information"),
    (0x26, 0x0E, "multiple access technologies"),
    (0x26, 0x0F, "location information for multiple access technologies"),
    (0x26, 0x10, "network measurement results for multiple access technologies"),
    (0x26, 0x11, "CSG ID list and HNB names"),
    (0x26, 0x12, "H(e)NB IP address"),
    (0x26, 0x13, "H(e)NB surrounding macrocells"),
    (0x27, 0x00, "start"),
    (0x27, 0x01, "deactivate"),
    (0x27, 0x02, "get the current value"),
];

/// Devices. TS 102 223 §8.7.
pub(crate) fn device(device: u8) -> &'static str {
    match device {
        0x01 => "keypad",
        0x02 => "display",
        0x03 => "earpiece",
        0x10..=0x17 => "additional card reader",
        0x21..=0x27 => "channel",
        0x81 => "UICC",
        0x82 => "terminal",
        0x83 => "network",
        _ => "reserved device",
    }
}

/// General results. TS 102 223 §8.12.
pub(crate) const RESULTS: &[(u8, &str)] = &[
    (0x00, "command performed successfully"),
    (0x01, "command performed with partial comprehension"),
    (0x02, "command performed, with missing information"),
    (0x03, "REFRESH performed with additional EFs read"),
    (0x04, "command performed successfully, but requested icon could not be displayed"),
    (0x05, "command performed, but modified by call control"),
    (0x06, "command performed successfully, limited service"),
    (0x07, "command performed with modification"),
    (0x08, "REFRESH performed but indicated NAA was not active"),
    (0x09, "command performed successfully, tone not played"),
    (0x10, "proactive session terminated by the user"),
    (0x11, "backward move requested by the user"),
    (0x12, "no response from user"),
    (0x13, "help information required by the user"),
    (0x14, "USSD or SS transaction terminated by the user"),
    (0x20, "terminal currently unable to process command"),
    (0x21, "network currently unable to process command"),
    (0x22, "user did not accept the proactive command"),
    (0x23, "user cleared down call before connection or network release"),
    (0x24, "action in contradiction with the current timer state"),
    (0x25, "interaction with call control, temporary problem"),
    (0x26, "launch browser generic error"),
    (0x27, "MMS temporary problem"),
    (0x30, "command beyond terminal's capabilities"),
    (0x31, "command type not understood by terminal"),
    (0x32, "command data not understood by terminal"),
    (0x33, "command number not known by terminal"),
    (0x34, "SS return error"),
    (0x35, "SMS RP-ERROR"),
    (0x36, "error, required values are missing"),
    (0x37, "USSD return error"),
    (0x38, "MultipleCard commands error"),
    (0x39, "interaction with call control, permanent problem"),
    (0x3A, "bearer independent protocol error"),
    (0x3B, "access technology unable to process command"),
    (0x3C, "frames error"),
    (0x3D, "MMS error"),
];

/// Events. TS 102 223 §8.25.
pub(crate) const EVENTS: &[(u8, &str)] = &[
    (0x00, "MT call"),
    (0x01, "call connected"),
    (0x02, "call disconnected"),
    (0x03, "location status"),
    (0x04, "user activity"),
    (0x05, "idle screen available"),
    (0x06, "card reader status"),
    (0x07, "language selection"),
    (0x08, "browser termination"),
    (0x09, "data available"),
    (0x0A, "channel status"),
    (0x0B, "access technology change (single)"),
    (0x0C, "display parameters changed"),
    (0x0D, "local connection"),
    (0x0E, "network search mode change"),
    (0x0F, "browsing status"),
    (0x10, "frames information change"),
    (0x11, "I-WLAN access status"),
    (0x12, "network rejection"),
    (0x13, "HCI connectivity event"),
    (0x14, "access technology change (multiple)"),
    (0x15, "CSG cell selection"),
    (0x16, "contactless state request"),
    (0x17, "IMS registration"),
    (0x18, "incoming IMS data"),
    (0x19, "profile container"),
    (0x1B, "secured profile container"),
    (0x1C, "poll interval negotiation"),
    (0x1D, "data connection status change"),
    (0x1E, "CAG cell selection"),
    (0x1F, "slices status change"),
];

/// Envelopes. TS 101 220 §7.2.
pub(crate) const ENVELOPES: &[(u8, &str)] = &[
    (0xD1, "SMS-PP download"),
    (0xD2, "cell broadcast download"),
    (0xD3, "menu selection"),
    (0xD4, "call control"),
    (0xD5, "MO short message control"),
    (0xD6, "event download"),
    (0xD7, "timer expiration"),
    (0xD8, "reserved for intra-UICC communication"),
    (0xD9, "USSD download"),
    (0xDA, "MMS transfer status"),
    (0xDB, "MMS notification download"),
    (0xDC, "terminal application"),
    (0xDD, "geographical location reporting"),
    (0xDE, "envelope container"),
    (0xDF, "ProSe report"),
    (0xE0, "5G ProSe report"),
];

/// The name of a code in one of these tables.
pub(crate) fn name(table: &'static [(u8, &'static str)], code: u8) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}
