//! The page at work.

use std::future;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use console::{Exit, random};
use inspector::server::Inspector;
use inspector::stream::Stream;
use inspector::{By, Emulated, Handle as _, RealCard, Seen, Subject};
use reader_bridge::trace::{Event, Tracer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{Instant, interval};
use zeroize::Zeroizing;

use super::Arguments;
use super::handle::{Handled, Running, find, hear};
use crate::Context;
use crate::asynchronous::{Signals, Stoppable};
use crate::card::control::{Beside, Control, Seated, path_of};
use crate::card::detach::{Parent, Word};
use crate::card::ready::{Ready, ReadyCard, ReadyFile, Recorded, folder};
use crate::card::shared::Shared;
use crate::failure::{AtPath as _, Failure};
use crate::output::beside;
use crate::repeatable::SeedArguments;
use crate::target::{IN_USE, Target, once_free};
use crate::{hexadecimal, key_log};

/// What is shown.
struct Shown {
    subject: Arc<dyn Subject>,
    stream: Arc<Stream>,
    /// What is told of the card.
    seen: ReadyCard,
    /// The same as this process records it: the image is another one's, if that runs the card.
    recorded: ReadyCard,
    /// Orders of others for a card that runs here.
    control: Option<Control>,
    /// The card in another process.
    elsewhere: Option<Handled>,
}

pub(super) fn serve(arguments: &Arguments, context: &Context, parent: Option<&mut Parent>) -> Result<(), Failure> {
    let shown = match (&arguments.image, &arguments.reader) {
        (Some(image), _) => emulated(image, context)?,
        (None, Some(reader)) => in_reader(reader, arguments.write)?,
        (None, None) => return Err(Failure::because("which card? Name its image, or --reader NAME").with(Exit::Usage)),
    };
    Stoppable::begin()?.run(async |signals| at_work(shown, arguments, context, parent, signals).await)
}

/// How long a process may take to begin telling, on a machine that has much to do: one that is about to end does not begin.
const BEGINNING: Duration = Duration::from_mins(1);

/// A card in an image: it runs elsewhere, or from now on here.
fn emulated(image: &Path, context: &Context) -> Result<Shown, Failure> {
    let stream = Arc::new(Stream::default());
    let seen = ReadyCard::of(image)?;
    let path = std::path::absolute(image).at("look into", image)?;
    let folder = folder(&context.state)?;
    if let Some((pid, _, _)) = find(&folder, &path) {
        if !path_of(&folder, pid).exists() {
            return Err(Failure::because(format!(
                "process {pid} has the card and takes no orders; end it (`vuicc card eject`), or have the card run by `vuicc card run`"
            ))
            .with(Exit::Card));
        }
        let (begun, is_heard) = channel();
        hear(folder.clone(), path.clone(), Arc::clone(&stream), begun);
        is_heard.recv_timeout(BEGINNING).map_err(|_| {
            Failure::because(format!("process {pid}, which runs the card, does not tell what happens to it; try again"))
                .with(Exit::Card)
        })?;
        let handled = || Handled { image: path.clone(), running: Running::Elsewhere(folder.clone()) };
        let recorded = ReadyCard { image: format!("page of {}", path.display()).into(), ..seen.clone() };
        let subject = Arc::new(Emulated::new(Arc::new(handled())));
        return Ok(Shown { subject, stream, seen, recorded, control: None, elsewhere: Some(handled()) });
    }
    let unseeded = SeedArguments::default();
    let provider = key_log::before(None, unseeded.provider())?;
    let card = Shared::in_place(once_free(|| unseeded.open(image, 0, &provider), IN_USE)?);
    let heard = Arc::clone(&stream);
    card.tap(Box::new(move |seen| {
        heard.see(&seen);
        true
    }));
    card.obey(&Beside::Reset.into());
    // Without it the page is there as well.
    let control = Control::of(vec![Seated::from(card.clone())], &context.state).map_err(|failure| failure.tell()).ok();
    let handled = Handled { image: path, running: Running::Here(card) };
    let subject = Arc::new(Emulated::new(Arc::new(handled)));
    Ok(Shown { subject, stream, recorded: seen.clone(), seen, control, elsewhere: None })
}

fn in_reader(reader: &str, may_write: bool) -> Result<Shown, Failure> {
    let stream = Arc::new(Stream::default());
    let card = Target::Reader(reader).connect()?;
    let mut seen = ReadyCard::named(reader, card.atr());
    seen.reader = Some(reader.to_owned());
    let heard = Arc::clone(&stream);
    let observer = move |event: Event<'_>| {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        heard.see(&Seen { by: By::Owner, event: event.recorded(at) });
    };
    let line = Box::new(Tracer::new(card, observer));
    let subject = Arc::new(RealCard::new(line, reader, may_write));
    Ok(Shown { subject, stream, recorded: seen.clone(), seen, control: None, elsewhere: None })
}

async fn at_work(
    shown: Shown,
    arguments: &Arguments,
    context: &Context,
    parent: Option<&mut Parent>,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let Shown { subject, stream, mut seen, mut recorded, control, elsewhere } = shown;
    let listener = TcpListener::bind(arguments.listen).await.map_err(|error| {
        let at = arguments.listen;
        Failure::because(format!("cannot listen at {at}: {error}; take another port, or 0 for a free one"))
    })?;
    let token = Zeroizing::new(hexadecimal::whole(&random::bytes::<32>()));
    let inspector = Inspector::new(subject, stream, token, listener.local_addr()?);
    let page = Some(inspector.address().to_string());
    (seen.page, recorded.page) = (page.clone(), page);
    // The last, so that nothing else that is wrong costs an earlier one.
    let mut ready_file = ReadyFile::at(arguments.stay.ready_file.as_deref(), &context.state)?.private();
    let ready = Ready::new(vec![seen]);
    let record = Ready::new(vec![recorded]);
    let _recorded = Recorded::needed(&record, ready_file.path(), &context.state, parent.is_some())?;
    ready_file.write(&ready)?;
    beside(context.output.json(&json!({ "event": "ready", "ready": ready })));
    beside(context.output.text(&ready));
    if let Some(parent) = parent {
        parent.tell(&Word::Ready(ready));
    }
    let orders = async {
        match control {
            Some(control) => control.serve().await,
            None => future::pending().await,
        }
    };
    let limit = arguments.stay.limit().map(Duration::from_secs);
    let outcome = tokio::select! {
        () = signals.received() => Ok(()),
        () = inspector.serve(listener, future::pending()) => Ok(()),
        ended = orders => ended,
        failure = gone_for(elsewhere, limit) => Err(failure),
    };
    ready_file.remove();
    outcome
}

/// Completes when no process has run the card for so long.
async fn gone_for(card: Option<Handled>, limit: Option<Duration>) -> Failure {
    const GLANCE: Duration = Duration::from_millis(500);
    let (Some(card), Some(limit)) = (card.map(Arc::new), limit) else { return future::pending().await };
    let (mut ticks, mut last) = (interval(GLANCE), Instant::now());
    loop {
        ticks.tick().await;
        let asked = Arc::clone(&card);
        if tokio::task::spawn_blocking(move || asked.state().is_ok()).await.unwrap_or(false) {
            last = Instant::now();
        } else if last.elapsed() >= limit {
            let (name, seconds) = (card.image.display(), limit.as_secs());
            return Failure::because(format!("no process has run {name} for {seconds} s")).with(Exit::Card);
        }
    }
}
