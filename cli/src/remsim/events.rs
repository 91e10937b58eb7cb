//! What is told of clients and of a server while a bank runs.

use std::fmt;

use reader_bridge::remsim::{Link, Told};
use serde_json::json;

use crate::output::{Output, beside};

/// Tells of a client.
pub(super) fn tell_of_client(output: Output, told: &Told) {
    let cause = |error: &std::io::Error| Some(error.to_string());
    let (event, client, slot, cause) = match told {
        Told::Connected(client, slot) => ("connected", Some(client.to_string()), Some(*slot), None),
        Told::Gone(client, why) => ("disconnected", client.map(|client| client.to_string()), None, cause(why)),
        Told::Unaccepted(why) => ("unaccepted", None, None, cause(why)),
    };
    beside(output.json(&json!({ "event": event, "client": client, "slot": slot, "cause": cause })));
    beside(output.text(told));
}

/// Tells of the server.
pub(super) fn tell_of_server(output: Output, address: &str, link: &Link) {
    let (event, told): (_, Option<&dyn fmt::Display>) = match link {
        Link::Registered => ("registered", None),
        Link::Asked(what) => ("asked", Some(what)),
        Link::Lost(why) => ("lost", Some(why)),
    };
    let what = told.map(ToString::to_string);
    beside(output.json(&json!({ "event": event, "server": address, "what": what })));
    beside(output.text(link));
}
