//! Small servers, and cards, for this crate's tests.

use std::collections::VecDeque;

use identities::Msisdn;
pub(crate) use usim::testing::Dialogue;

use crate::entitlement::client::PageOutcome;
use crate::entitlement::{Message, Page, Terminal, User};
use crate::http::{Http, HttpAnswer, HttpRequest};

/// A reference file; `None`, reported on stderr, if it is missing.
pub(crate) fn vector(name: &str) -> Option<String> {
    let path = format!("{}/../../../shared/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: no {path}");
    }
    text
}

type Serve = dyn FnMut(&HttpRequest) -> HttpAnswer;

/// A server that passes every request to a function, and records them.
pub(crate) struct FakeServer {
    serve: Box<Serve>,
    pub(crate) requests: Vec<HttpRequest>,
}

impl FakeServer {
    pub(crate) fn new(serve: impl FnMut(&HttpRequest) -> HttpAnswer + 'static) -> Self {
        Self { serve: Box::new(serve), requests: Vec::new() }
    }

    /// One that gives these answers in order.
    pub(crate) fn script(answers: Vec<HttpAnswer>) -> Self {
        let mut answers = VecDeque::from(answers);
        Self::new(move |_| answers.pop_front().expect("a request after the end of the script"))
    }
}

impl Http for FakeServer {
    fn send(&mut self, request: &HttpRequest) -> Result<HttpAnswer, lpa::ServerError> {
        self.requests.push(request.clone());
        Ok((self.serve)(request))
    }
}

/// An answer of a scripted server.
pub(crate) fn answer(status: u16, content_type: &str, body: &str) -> HttpAnswer {
    let headers = vec![("content-type".to_owned(), content_type.to_owned())];
    HttpAnswer { status, headers, body: body.to_owned() }
}

impl HttpAnswer {
    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl HttpRequest {
    /// A parameter, from the query or the JSON body.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.url.split_once('?').unwrap_or_default();
        let in_query = form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name);
        let json: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        in_query.map(|(_, value)| value.into_owned()).or_else(|| json[name].as_str().map(str::to_owned))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// A user with prepared answers.
#[derive(Debug, Default)]
pub(crate) struct Person {
    pub(crate) codes: VecDeque<&'static str>,
    pub(crate) pages: VecDeque<PageOutcome>,
    pub(crate) asked: Vec<String>,
}

impl User for Person {
    fn one_time_code(&mut self, msisdn: &Msisdn, after_a_wrong_one: bool) -> Option<String> {
        self.asked.push(format!("code {msisdn} {after_a_wrong_one}"));
        self.codes.pop_front().map(str::to_owned)
    }
    fn open_page(&mut self, page: &Page) -> PageOutcome {
        self.asked.push(format!("page {}", page.address()));
        self.pages.pop_front().unwrap()
    }
    fn message(&mut self, message: &Message) -> (bool, Option<String>) {
        self.asked.push(format!("message {}", message.title));
        (true, self.codes.pop_front().map(str::to_owned))
    }
}

/// The device of the tests.
pub(crate) fn terminal(name: &str) -> Terminal {
    Terminal {
        id: "356938035643809".into(),
        vendor: "vuicc".into(),
        model: "Phone".into(),
        software: "1.0".into(),
        name: name.into(),
    }
}
