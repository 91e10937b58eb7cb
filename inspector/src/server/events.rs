//! What happens, told to a page while it happens: server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

use super::{Inspector, refuse};
use crate::stream::Message;

/// After so long without an event a line says that the connection is there.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Messages on their way to a page that reads slowly; it misses others.
const ON_THE_WAY: usize = 16;

#[derive(Deserialize)]
pub(super) struct After {
    #[serde(default)]
    after: u64,
}

/// The events after the one of this number, as they come.
pub(super) async fn stream(
    State(inspector): State<Inspector>,
    after: Result<Query<After>, QueryRejection>,
) -> Response {
    let Ok(Query(After { after })) = after else {
        return refuse(StatusCode::BAD_REQUEST, "after which event? after=N, or without it all that are kept");
    };
    let Ok(seat) = inspector.listeners.clone().try_acquire_owned() else {
        let why = "as many pages are open as there are places; close one";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let (give, take) = channel(ON_THE_WAY);
    tokio::spawn(async move {
        let (missed, mut more) = inspector.stream.listen(after);
        for message in &missed {
            if give.send(line(message)).await.is_err() {
                return;
            }
        }
        loop {
            let told = match timeout(HEARTBEAT, more.recv()).await {
                Err(_) => Bytes::from_static(b": here\n\n"),
                Ok(Ok(message)) => line(&message),
                // The page asks anew for what it has missed.
                Ok(Err(RecvError::Lagged(_) | RecvError::Closed)) => return,
            };
            if give.send(told).await.is_err() {
                return;
            }
        }
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::new(Events { take, _seat: seat })).into_response()
}

fn line(message: &Message) -> Bytes {
    format!("id: {}\ndata: {}\n\n", message.number, message.text).into()
}

/// The body of the answer.
struct Events {
    take: Receiver<Bytes>,
    _seat: OwnedSemaphorePermit,
}

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.take.poll_recv(context).map(|octets| octets.map(|octets| Ok(Frame::data(octets))))
    }
}
