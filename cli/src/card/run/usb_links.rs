//! What is told of a card in a USB reader.

use std::path::Path;

use reader_bridge::usb_reader::{Link, Via};
use serde_json::json;
use tokio::sync::mpsc::UnboundedSender;

use super::cards::{Event, What};
use crate::output::{Output, beside};

/// Hears what happens between a card and the hosts of its reader.
pub(super) struct UsbLinks<'a> {
    number: usize,
    image: &'a Path,
    address: String,
    output: Output,
    events: UnboundedSender<Event>,
    generation: u64,
    /// Whether hosts find the card by themselves: then it is ready as soon as its reader listens.
    is_found: bool,
    /// The last cause of waiting that was told: the card tries again and again.
    last: Option<String>,
}

impl<'a> UsbLinks<'a> {
    pub(super) fn new(
        number: usize,
        image: &'a Path,
        via: &Via,
        output: Output,
        events: UnboundedSender<Event>,
    ) -> Self {
        let is_found = !matches!(via, Via::ToQemu(_));
        let address = via.to_string();
        let mut links = Self { number, image, address, output, events, generation: 0, is_found, last: None };
        if is_found {
            links.say(What::Usable(Vec::new()));
        }
        links
    }

    fn say(&mut self, what: What) {
        self.generation += 1;
        // The receiver is gone when all cards are stopped.
        let _ = self.events.send(Event { card: self.number, generation: self.generation, what });
    }

    pub(super) fn hear(&mut self, link: &Link<'_>) {
        if !self.is_found {
            match link {
                Link::Waiting(_) | Link::Gone(_) => self.say(What::Unusable(link.to_string())),
                Link::Inserted => self.say(What::Usable(Vec::new())),
                _ => {}
            }
        }
        self.tell(link);
    }

    fn tell(&mut self, link: &Link<'_>) {
        let (event, cause) = match link {
            Link::Waiting(cause) => ("waiting", Some(cause.to_string())),
            Link::Attached => ("attached", None),
            Link::Inserted => ("inserted", None),
            Link::Pulled => ("pulled", None),
            Link::Resetting(why) => ("resetting", Some(why.to_string())),
            Link::Gone(cause) => ("gone", Some(cause.to_string())),
            Link::Unaccepted(cause) => ("unaccepted", Some(cause.to_string())),
        };
        let waits_for = cause.clone().filter(|_| event == "waiting");
        let is_told = waits_for.is_some() && self.last == waits_for;
        self.last = waits_for;
        if is_told {
            return;
        }
        let (image, usb) = (self.image, &self.address);
        beside(self.output.json(&json!({ "card": image, "usb": usb, "event": event, "cause": cause })));
        beside(self.output.text(format_args!("{} in the USB reader at {usb}: {link}", image.display())));
    }
}
