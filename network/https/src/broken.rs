//! Answers that end early: for servers that are to fail on request, so that it can be seen what their clients do.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{Error, ErrorKind};

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;

/// Extension of an answer: the connection is closed instead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HangUp;

/// No answer: the connection is closed.
pub fn hang_up() -> Response {
    let mut answer = StatusCode::SERVICE_UNAVAILABLE.into_response();
    answer.extensions_mut().insert(HangUp);
    answer
}

/// A body that ends in the middle, with the connection.
pub fn torn(whole: &Bytes) -> Body {
    Body::new(Torn { left: Some(whole.slice(..whole.len() / 2)) })
}

struct Torn {
    left: Option<Bytes>,
}

impl hyper::body::Body for Torn {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(Some(match self.left.take() {
            Some(first) => Ok(Frame::data(first)),
            None => Err(Error::new(ErrorKind::ConnectionAborted, "the answer ends here, as ordered")),
        }))
    }
}
