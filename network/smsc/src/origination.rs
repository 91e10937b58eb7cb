//! Messages from phones, and the status reports for their senders. TS 23.040 §9.2.2.2, §9.2.2.3.

use hlr::{HlrError, Lookup};
use identities::Imsi;
use mt::cause;
use network_base::database::change;
use network_base::database::column::{seconds, unsigned};
use network_base::database::columns::Columns;
use network_base::database::queue::Token;
use sms::status_report::status;
use sms::{StatusReport, Submit, Timestamp, Validity};
use sqlx::Row as _;

use super::message::{Receipt, SmscError, State, Submission};
use super::smpp::body::Address;
use super::store::{Event, RECEIPTS, Smsc, label, read, state};

/// Whose messages those of phones are, among the clients' ones. No client of SMPP is called that: names there have at most
/// fifteen characters.
const PHONES: &str = "phones, by their cards";
/// How many status reports are written in one go.
const HANDFUL: u32 = 100;

/// Who has sent a message from a phone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender<'a> {
    pub(super) imsi: &'a Imsi,
    /// TP-Message-Reference.
    pub(super) reference: u8,
}

impl Smsc {
    /// Takes a message from the phone whose card is this one; returns its name.
    ///
    /// The receiver sees the number of the sender's subscription, whatever the phone says.
    pub async fn submit_from_phone(&self, sender: &Imsi, submit: &Submit, now: u64) -> Result<String, SmscError> {
        let hlr = &self.inner.hlr;
        let known = hlr.lookup(Lookup::Imsi(sender)).await?;
        if !known.iter().any(|subscription| subscription.status == hlr::Status::Active) {
            return Err(SmscError::Barred);
        }
        let number = hlr.presented_msisdn(sender).await?.ok_or(SmscError::Source)?;
        // IMSIs are addresses among servers.
        let destination = address(&submit.to);
        if submit.to.is_name() || destination.npi == Address::E212 {
            return Err(SmscError::Destination);
        }
        let expires_at = submit.validity.and_then(|validity| match validity {
            Validity::Relative(_) => Some(now.saturating_add(validity.seconds()?.into())),
            Validity::Absolute(moment) => moment.unix(),
            Validity::Enhanced(_) => None,
        });
        let submission = Submission {
            client: PHONES.to_owned(),
            service_type: String::new(),
            source: Address::international(number.as_str()),
            destination,
            data: submit.data.clone(),
            protocol: submit.protocol,
            reply_path: submit.reply_path,
            not_before: None,
            expires_at,
            receipt: if submit.report { Receipt::Always } else { Receipt::Never },
            replace: false,
        };
        let id = self.put(&submission, Some(Sender { imsi: sender, reference: submit.reference }), now).await?;
        tracing::info!(imsi = ?sender, id, "message from a phone");
        Ok(id)
    }

    /// Writes the status reports that are due: messages to the phones that sent what became final.
    pub(super) async fn report_to_phones(&self, now: u64) -> Result<(), SmscError> {
        let database = &self.inner.database;
        let columns = "sender, reference, destination, state, submitted_at, final_at";
        for due in RECEIPTS.due::<String>(database.pool(), Some(PHONES), now, HANDFUL).await? {
            let token = Token::fresh().map_err(HlrError::from)?;
            let Some((claim, row)) = RECEIPTS.claim(database, &due, columns, token, now).await? else { continue };
            let sender: String = row.try_get::<Option<_>, _>("sender")?.ok_or(SmscError::Corrupt("sender"))?;
            let imsi: Imsi = sender.parse().map_err(|_| SmscError::Corrupt("sender"))?;
            let report = StatusReport {
                reference: row.try_get::<Option<i64>, _>("reference")?.and_then(|it| it.try_into().ok()).unwrap_or(0),
                to: self.originator(&read(row.try_get("destination")?)?)?,
                submitted: self.time_stamp(unsigned(row.try_get("submitted_at")?)),
                at: self.time_stamp(unsigned(row.try_get::<Option<i64>, _>("final_at")?.unwrap_or_default())),
                status: told(state(row.try_get("state")?)?),
            };
            let (id, receipt) = (self.fresh_id(now)?, Receipt::Never.name());
            let tpdu = self.inner.hlr.seal(&label(&id), &report.encode())?;
            let written: Result<(), SmscError> = change!(database, |tx| {
                let finished = RECEIPTS.finish(&claim, "receipt = 'done'").execute(&mut *tx).await?;
                // Another process writes it.
                if finished.rows_affected() == 1 {
                    let row = Columns::new()
                        .set("id", &id)
                        .set("client", PHONES)
                        .set("service_type", "")
                        .set("source", "")
                        .set("destination", "")
                        .set("imsi", imsi.as_str())
                        .set("tpdu", &tpdu)
                        .set("state", State::Enroute.name())
                        .set("submitted_at", seconds(now))
                        .set("not_before", seconds(now))
                        .set("expires_at", seconds(now.saturating_add(super::store::VALIDITY)))
                        .set("attempts", 0_i64)
                        .set("receipt", receipt)
                        .set("receipt_after", 0_i64);
                    row.insert("sms_message").execute(&mut *tx).await?;
                }
            });
            written?;
            self.tell(Event::Message(imsi));
        }
        Ok(())
    }

    fn time_stamp(&self, at: u64) -> Timestamp {
        Timestamp::new(at, self.inner.settings.time_zone)
    }
}

/// In the form of SMPP, which has type and plan in an octet each.
fn address(to: &sms::Address) -> Address {
    Address { ton: to.kind() >> 4 & 0b111, npi: to.kind() & 0b1111, digits: to.value().to_owned() }
}

/// TP-Status of a final state.
const fn told(state: State) -> u8 {
    match state {
        State::Delivered => status::RECEIVED,
        State::Expired => status::EXPIRED,
        State::Deleted => status::DELETED,
        State::Enroute | State::Undeliverable => status::REMOTE_ERROR,
    }
}

/// RP-Cause of a refusal. TS 24.011 §8.2.5.4.
pub(super) const fn rp_cause(error: &SmscError) -> u8 {
    match error {
        SmscError::Destination => cause::UNASSIGNED_NUMBER,
        SmscError::Barred => cause::BARRED,
        SmscError::Source => cause::NOT_SUBSCRIBED,
        SmscError::Contents => cause::SEMANTICALLY_INCORRECT,
        SmscError::QueueFull => cause::CONGESTION,
        SmscError::NoMessage | SmscError::Register(_) | SmscError::Database(_) | SmscError::Corrupt(_) => {
            cause::NETWORK_OUT_OF_ORDER
        }
    }
}
