//! An SM-DP+ of which health tells whether the last call to it went through.

use std::sync::Arc;

use boss::{Answer, Call, ProfileServer, ServerError};
use identities::Discreet;
use network_base::BoxFuture;
use network_base::metrics::ES2PLUS_CALLS;
use system::Clock;

use crate::health::Counterpart;

/// The SM-DP+ itself, and where it is noted how the calls go.
pub(super) struct Watched {
    pub(super) server: Arc<dyn ProfileServer>,
    pub(super) counterpart: Counterpart,
    pub(super) clock: Clock,
}

/// A server that refuses an order counts as reachable, one that answers with a temporary failure as unreachable.
impl ProfileServer for Watched {
    fn call<'a>(&'a self, identifier: &'a str, call: &'a Call) -> BoxFuture<'a, Result<Answer, ServerError>> {
        Box::pin(async move {
            let outcome = self.server.call(identifier, call).await;
            let (word, failed) = match &outcome {
                Ok(_) => ("done", None),
                Err(error) if error.is_passing() => ("failed", Some(Discreet(error).to_string())),
                Err(_) => ("refused", None),
            };
            ES2PLUS_CALLS.count([label(call), word]);
            self.counterpart.called(failed, (self.clock)());
            outcome
        })
    }
}

/// The function among the metrics.
const fn label(call: &Call) -> &'static str {
    match call {
        Call::DownloadOrder(_) => "download_order",
        Call::ConfirmOrder(_) => "confirm_order",
        Call::CancelOrder(_) => "cancel_order",
        Call::ReleaseProfile(_) => "release_profile",
    }
}
