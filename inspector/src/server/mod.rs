//! The page, and what it asks: on loopback, for this machine's browsers alone.
//!
//! Three things keep others out. Every question carries a token that stands in the address behind `#`, which no browser sends
//! anywhere; the page keeps it in its tab and not in a cookie, which every port of the host would get. `Host` has to be the
//! address listened at, so that no other name can be made to lead here. A request that another site has a browser send is
//! refused by its `Origin` or `Sec-Fetch-Site`.

mod events;
mod guard;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};
use zeroize::{Zeroize as _, Zeroizing};

use crate::handle::Refusal;
use crate::stream::{Stream, harmless};
use crate::subject::{Act, Subject};

/// Pages that may listen at a time.
pub const LISTENERS: usize = 8;
/// Questions that are answered at a time; others wait.
const QUESTIONS: usize = 4;
/// How long one waits for the card: all files of a large card behind a slow reader take less.
const WAIT: Duration = Duration::from_mins(2);
/// Octets of a question.
const LONGEST: usize = 256 * 1024;
/// Time between two looks at the card's memory.
const GLANCE: Duration = Duration::from_millis(250);

/// What is shown to whom.
#[derive(Clone)]
pub struct Inspector {
    subject: Arc<dyn Subject>,
    stream: Arc<Stream>,
    token: Arc<Zeroizing<String>>,
    /// The values of `Host` that are its own.
    hosts: Arc<[String]>,
    listeners: Arc<Semaphore>,
    questions: Arc<Semaphore>,
    /// How long a question waits for the card.
    longest_wait: Duration,
}

impl Inspector {
    /// Shows a card at this address to those who have the token.
    pub fn new(subject: Arc<dyn Subject>, stream: Arc<Stream>, token: Zeroizing<String>, at: SocketAddr) -> Self {
        let port = at.port();
        let hosts = [at.to_string(), format!("127.0.0.1:{port}"), format!("[::1]:{port}"), format!("localhost:{port}")];
        Self {
            subject,
            stream,
            token: Arc::new(token),
            hosts: hosts.into(),
            listeners: Arc::new(Semaphore::new(LISTENERS)),
            questions: Arc::new(Semaphore::new(QUESTIONS)),
            longest_wait: WAIT,
        }
    }

    /// The address for people, with the token.
    pub fn address(&self) -> Zeroizing<String> {
        let host = self.hosts.first().map(String::as_str).unwrap_or_default();
        Zeroizing::new(format!("http://{host}/#{}", self.token.as_str()))
    }

    /// The page, and what it asks.
    pub fn router(&self) -> Router {
        let asked = Router::new()
            .route("/api/card", get(card))
            .route("/api/file", get(file))
            .route("/api/act", post(act))
            .route("/api/events", get(events::stream))
            .layer(DefaultBodyLimit::max(LONGEST))
            .layer(from_fn_with_state(self.clone(), guard::token))
            .with_state(self.clone());
        let mut router = asked;
        for asset in ASSETS {
            router = router.route(asset.path, get(async move || ([(CONTENT_TYPE, asset.kind)], asset.text)));
        }
        router.layer(from_fn_with_state(self.clone(), guard::this_machine))
    }

    /// Serves until `stop` is done, and looks at the card's memory meanwhile.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let watch = self.clone().watch();
        tokio::select! {
            () = https::serve(listener, None, self.router(), stop) => {}
            () = watch => {}
        }
    }

    async fn watch(self) {
        let mut ticks = interval(GLANCE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Value::Null;
        loop {
            ticks.tick().await;
            let subject = Arc::clone(&self.subject);
            let Ok((changes, state)) = spawn_blocking(move || (subject.changes(), subject.state())).await else {
                return;
            };
            if !changes.is_empty() {
                self.stream.changed(&changes);
            }
            if state != before {
                self.stream.state(&state);
                before = state;
            }
        }
    }

    /// Asks the card, beside what else is served.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Subject) -> Result<T, Refusal> + Send + 'static,
        answer: impl FnOnce(T) -> Value,
    ) -> Response {
        let subject = Arc::clone(&self.subject);
        let asked = async {
            // The semaphore is never closed.
            let turn = self.questions.clone().acquire_owned().await;
            let task = spawn_blocking(move || {
                // A card that is still busy with it keeps the turn.
                let _turn = turn;
                question(&*subject)
            });
            task.await
        };
        match timeout(self.longest_wait, asked).await {
            Err(_) => {
                let why = "the card is slow: no answer yet; what was asked for may still be done";
                refuse(StatusCode::GATEWAY_TIMEOUT, why)
            }
            Ok(Ok(Ok(told))) => say(StatusCode::OK, &answer(told)),
            Ok(Ok(Err(refusal))) => refuse(StatusCode::CONFLICT, &refusal.to_string()),
            Ok(Err(_)) => {
                refuse(StatusCode::INTERNAL_SERVER_ERROR, "a fault of this program; run it with RUST_BACKTRACE=1")
            }
        }
    }
}

/// A file of the page.
#[derive(Clone, Copy)]
struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

/// The page: all of it is in the program.
const ASSETS: [Asset; 7] = [
    Asset { path: "/", kind: "text/html; charset=utf-8", text: include_str!("../../page/index.html") },
    Asset { path: "/style.css", kind: "text/css; charset=utf-8", text: include_str!("../../page/style.css") },
    Asset { path: "/main.js", kind: SCRIPT, text: include_str!("../../page/main.js") },
    Asset { path: "/element.js", kind: SCRIPT, text: include_str!("../../page/element.js") },
    Asset { path: "/tree.js", kind: SCRIPT, text: include_str!("../../page/tree.js") },
    Asset { path: "/views.js", kind: SCRIPT, text: include_str!("../../page/views.js") },
    Asset { path: "/icon.svg", kind: "image/svg+xml", text: include_str!("../../page/icon.svg") },
];
const SCRIPT: &str = "text/javascript; charset=utf-8";

fn say(status: StatusCode, value: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], harmless(&value.to_string())).into_response()
}

fn refuse(status: StatusCode, why: &str) -> Response {
    say(status, &json!({ "error": why }))
}

async fn card(State(inspector): State<Inspector>) -> Response {
    inspector.ask(|subject| subject.card(), |card| card).await
}

#[derive(Deserialize)]
struct Which {
    domain: u16,
    file: u16,
}

async fn file(State(inspector): State<Inspector>, which: Result<Query<Which>, QueryRejection>) -> Response {
    let Ok(Query(Which { domain, file })) = which else {
        return refuse(StatusCode::BAD_REQUEST, "which file? domain=N&file=N");
    };
    inspector.ask(move |subject| subject.file(domain, file), |file| file).await
}

async fn act(State(inspector): State<Inspector>, headers: HeaderMap, body: Bytes) -> Response {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind != "application/json" {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/json is taken");
    }
    // What is wrong with it is not told: it may be a key.
    let read = serde_json::from_slice::<Act>(&body);
    if let Ok(mut body) = body.try_into_mut() {
        body.as_mut().zeroize();
    }
    let Ok(act) = read else {
        return refuse(StatusCode::BAD_REQUEST, "this is nothing that can be done to a card");
    };
    let stream = Arc::clone(&inspector.stream);
    let done = move |subject: &dyn Subject| {
        let told = subject.act(&act)?;
        // Each act by itself, however soon the next one comes.
        let changes = subject.changes();
        if !changes.is_empty() {
            stream.changed(&changes);
        }
        Ok(told)
    };
    inspector.ask(done, |told| json!({ "done": told })).await
}

#[cfg(test)]
mod tests;
