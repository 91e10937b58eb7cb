//! A card in a reader that hosts plug in by USB/IP.

use std::io;

use ::usb::ccid::{Identity, Reader};
use ::usb::usbip::{Event, Session};
use apdu::Icc;
use tokio::time::{Instant, sleep};

use super::hand::{Answer, Move, Moves, NotMoved};
use super::host::{Host, Limits, at, faulty, late};
use super::{Link, Reset};
use crate::socket::Listener;
use crate::vpcd::frames::hold_back;

/// A client: the one that has the reader, or one that has not said yet what it wants.
struct Client {
    host: Host,
    session: Session,
    /// Until when it has to send more.
    limit: Option<Instant>,
    buffer: [u8; 4096],
}

impl Client {
    /// Waits for octets; never completes if there is no client.
    async fn read(client: &mut Option<Self>) -> io::Result<()> {
        let Some(client) = client else { return std::future::pending().await };
        let what = if client.session.is_imported() { "it stopped within a message" } else { "it sent no request" };
        let read = tokio::select! {
            read = client.host.read(&mut client.buffer) => read?,
            () = at(client.limit) => return Err(late(what)),
        };
        client.session.receive(client.buffer.get(..read).unwrap_or_default());
        Ok(())
    }
}

/// Serves `card` to clients, one at a time, for as long as it is polled. Others may list the reader meanwhile.
pub(super) async fn serve<C: Icc + ?Sized>(
    limits: Limits,
    card: &mut C,
    listener: &Listener,
    identity: Identity,
    moves: &mut Moves,
    on_link: &mut impl FnMut(Link<'_>),
) {
    let mut reader = Reader::new(identity);
    reader.insert();
    let (mut attached, mut other): (Option<Client>, Option<Client>) = (None, None);
    let mut returns: Option<(Instant, Option<Answer>)> = None;
    loop {
        let return_time = returns.as_ref().map(|(time, _)| *time);
        let mut changed = false;
        tokio::select! {
            read = Client::read(&mut attached) => {
                let outcome = match (read, &mut attached) {
                    (Ok(()), Some(client)) => hear(limits, card, &mut reader, client, false).await,
                    (outcome, _) => outcome.map(|()| After::Stays),
                };
                if let Err(cause) = outcome {
                    attached = None;
                    reader.unplug(card);
                    on_link(Link::Gone(&cause));
                }
            }
            read = Client::read(&mut other) => {
                let outcome = match (read, &mut other) {
                    (Ok(()), Some(client)) => hear(limits, card, &mut reader, client, attached.is_some()).await,
                    (outcome, _) => outcome.map(|()| After::Stays),
                };
                match outcome {
                    Ok(After::Stays) => {}
                    Ok(After::HasReader) => {
                        attached = other.take();
                        on_link(Link::Attached);
                    }
                    Ok(After::IsServed) => other = None,
                    Err(cause) => {
                        other = None;
                        on_link(Link::Gone(&cause));
                    }
                }
            }
            accepted = listener.connection(), if other.is_none() => match accepted {
                Ok(stream) => {
                    let (host, session) = (Host::new(stream, limits), Session::default());
                    let limit = Some(Instant::now() + limits.greeting);
                    other = Some(Client { host, session, limit, buffer: [0; 4096] });
                }
                Err(cause) => {
                    on_link(Link::Unaccepted(&cause));
                    sleep(limits.pause).await;
                }
            },
            (wanted, answer) = moves.next() => {
                changed = true;
                if let Some(refusal) = refusal(wanted, &reader, returns.is_some()) {
                    let _ = answer.send(Err(refusal));
                } else {
                    match wanted {
                        Move::Insert => {
                            reader.insert();
                            on_link(Link::Inserted);
                            let _ = answer.send(Ok(()));
                        }
                        Move::Pull => {
                            reader.remove(card);
                            on_link(Link::Pulled);
                            let _ = answer.send(Ok(()));
                        }
                        Move::Reset => {
                            reader.remove(card);
                            on_link(Link::Resetting(Reset::ByHand));
                            returns = Some((Instant::now() + limits.absence, Some(answer)));
                        }
                    }
                }
            }
            () = at(return_time) => {
                changed = true;
                reader.insert();
                on_link(Link::Inserted);
                if let Some(answer) = returns.take().and_then(|(_, answer)| answer) {
                    let _ = answer.send(Ok(()));
                }
            }
        }
        if changed && let Some(client) = &mut attached {
            let mut out = Vec::new();
            client.session.deliver(&mut reader, &mut out);
            if let Err(cause) = client.host.send(&mut out).await {
                attached = None;
                reader.unplug(card);
                on_link(Link::Gone(&cause));
            }
        }
    }
}

fn refusal(wanted: Move, reader: &Reader, is_resetting: bool) -> Option<NotMoved> {
    match wanted {
        _ if is_resetting => Some(NotMoved::Resetting),
        Move::Insert => reader.has_card().then_some(NotMoved::AlreadyIn),
        Move::Pull | Move::Reset => (!reader.has_card()).then_some(NotMoved::AlreadyOut),
    }
}

/// What becomes of a client.
enum After {
    Stays,
    /// It has the reader now.
    HasReader,
    /// It has what it wanted, or cannot have it.
    IsServed,
}

/// Deals with all messages of a client that are here.
async fn hear<C: Icc + ?Sized>(
    limits: Limits,
    card: &mut C,
    reader: &mut Reader,
    client: &mut Client,
    is_busy: bool,
) -> io::Result<After> {
    let (mut out, mut after) = (Vec::new(), After::Stays);
    while let Some(event) = client.session.step(reader, card, is_busy, &mut out).map_err(faulty)? {
        match event {
            Event::Exchanged(_) => hold_back(card).await,
            Event::Imported => {
                client.limit = None;
                after = After::HasReader;
            }
            Event::Listed | Event::NotImported => {
                client.host.send(&mut out).await?;
                return Ok(After::IsServed);
            }
            Event::Other => {}
        }
        client.host.send(&mut out).await?;
    }
    // One that has the reader may be silent for as long as it likes, but not within a message.
    let now = Instant::now();
    client.limit = match client.session.is_imported() {
        true if client.session.is_within_message() => client.limit.or(Some(now + limits.message)),
        true => None,
        false => client.limit,
    };
    Ok(after)
}
