//! What an eUICC says of itself, asked by ES10 and explained by the decoder of recorded sessions.

use apdu::Transport;
use es10::{Euicc, Options};
use rsp::es10::Es10Function;
use rsp::es10a::EuiccConfiguredAddressesRequest;
use rsp::es10b::{GetRatRequest, ListNotificationRequest};
use rsp::es10c::GetEuiccDataRequest;
use rsp::euicc_info::{GetEuiccInfo1Request, GetEuiccInfo2Request};
use serde::Serialize;
use serde_json::{Value, json};

/// One function, and its answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fact {
    /// The function.
    pub function: &'static str,
    /// What the answer says.
    pub fields: Vec<Value>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// Asks for all that can be asked without a change. Nothing, if there is no ISD-R.
pub fn facts(card: &mut dyn Transport, options: Options) -> Vec<Fact> {
    let Ok(mut euicc) = Euicc::open(card, options) else { return Vec::new() };
    let mut facts = Vec::new();
    let mut ask = |function: &'static str, request: Result<Vec<u8>, _>| {
        let answer = request.map_err(|error: rsp::EncodeError| error.to_string()).and_then(|request| {
            euicc.isd_r().es10(function, &request).map(|answer| (request, answer)).map_err(|error| error.to_string())
        });
        facts.push(match answer {
            Ok((request, answer)) => Fact { function, fields: explain(&request, &answer), refusal: None },
            Err(refusal) => Fact { function, fields: Vec::new(), refusal: Some(refusal) },
        });
    };
    ask(GetEuiccDataRequest::NAME, rsp::encode(&GetEuiccDataRequest::eid()));
    ask("GetEUICCInfo1", rsp::encode(&GetEuiccInfo1Request::default()));
    ask("GetEUICCInfo2", rsp::encode(&GetEuiccInfo2Request::default()));
    ask(EuiccConfiguredAddressesRequest::NAME, rsp::encode(&EuiccConfiguredAddressesRequest::default()));
    ask(ListNotificationRequest::NAME, rsp::encode(&ListNotificationRequest::default()));
    ask(GetRatRequest::NAME, rsp::encode(&GetRatRequest::default()));
    euicc.close();
    facts
}

/// The fields of an answer, as if it had come in one response.
fn explain(request: &[u8], answer: &[u8]) -> Vec<Value> {
    let mut session = decode::Decoder::new();
    let aid = rsp::ids::AID_ISD_R;
    let length = |octets: &[u8]| u8::try_from(octets.len()).unwrap_or_default();
    session.exchange(&[&[0x00, 0xA4, 0x04, 0x00, length(&aid)], &aid[..]].concat(), &[0x90, 0x00]);
    let command = [&[0x80, 0xE2, 0x91, 0x00, length(request)], request, &[0x00]].concat();
    let decoded = session.exchange(&command, &[answer, &[0x90, 0x00]].concat());
    let fields = decoded.fields.iter().filter(|field| {
        field.place.as_ref().is_some_and(|place| matches!(place.source.name(), "response" | "answer"))
            && field.name.name != "status_word"
    });
    // What only wraps the answer is left out.
    let fields: Vec<Value> = fields.map(decode::json::field).collect();
    match fields.as_slice() {
        [one] if one["fields"].is_array() && one.get("value").is_none() => {
            one["fields"].as_array().cloned().unwrap_or_default()
        }
        _ if fields.is_empty() => vec![json!({ "name": "data", "label": "Data", "value": super::hexadecimal(answer) })],
        _ => fields,
    }
}
