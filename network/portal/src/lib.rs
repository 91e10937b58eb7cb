//! The operator's web server: pages for people.
//!
//! | path | what | module |
//! |---|---|---|
//! | `/portal/contract` | the terms of an order, accepted or not; a phone's web view shows it (TS.43 §6.7) | `contract` |
//! | `/care/` | the subscriber's own page: which devices share the number, and how they ring | `care` |
//! | `/office/` | the operator's page: orders, their progress, activation codes, lines; at a listener of its own | `office` |
//! | `/` | what this is, and the way to self-care, for who opens the address of the devices | [`front`] |
//!
//! Pages are made here and work without JavaScript; all state is in the database, so any replica answers any request.
//! Every page has a content security policy, every form a token and an `Origin` to be checked ([`session`]). The only
//! script is the bridge to the phone around a web view (`bridge.js`).
//!
//! | module | what |
//! |---|---|
//! | [`page`] | what all pages have in common, and what is said when a request is refused |
//! | [`session`] | cookies, form tokens, sessions |
//! | [`form`] | forms that come in |
//! | [`text`] | all sentences, in all languages |
//! | [`terms`] | the terms of a contract |
//! | [`qr`] | QR codes |

mod care;
mod contract;
mod form;
pub mod front;
mod office;
mod page;
pub mod qr;
mod session;
pub mod terms;
mod text;

use std::sync::Arc;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use boss::Boss;
use hlr::Hlr;
use network_base::database::Database;
use network_base::otp::OneTimeCodes;
use network_base::secret::{digest, fresh};
use system::{Clock, unix_now};
use zeroize::Zeroizing;

pub use front::Front;
pub use terms::Terms;

use page::Refusal;

/// The web server's state. Clones are the same.
#[derive(Clone)]
pub struct Portal {
    inner: Arc<Inner>,
}

struct Inner {
    boss: Boss,
    hlr: Arc<Hlr>,
    database: Database,
    codes: OneTimeCodes,
    settings: Settings,
    wrong_keys: office::WrongKeys,
}

/// What the operator decides once.
pub struct Settings {
    /// What the operator is called.
    pub operator: String,
    /// Where people find help: a number, an address. Empty: not said.
    pub support: String,
    /// The terms of contracts.
    pub terms: Terms,
    /// What opens the operator's page, each for somebody; without any the page does not exist.
    pub office: Vec<OfficeKey>,
    /// Figures the operator's page shows beside the lines, for instance the short message service centre's.
    pub counters: Option<Counters>,
    /// What time it is.
    pub clock: Clock,
}

/// Figures by name, as they are now.
pub type Counters = Arc<dyn Fn() -> Vec<(String, u64)> + Send + Sync>;

impl Default for Settings {
    fn default() -> Self {
        Self {
            operator: "vuicc mobile".to_owned(),
            support: String::new(),
            terms: Terms::default(),
            office: Vec::new(),
            counters: None,
            clock: Arc::new(unix_now),
        }
    }
}

/// What opens the operator's page for somebody. Only its digest is kept; it is long enough that nobody guesses it.
#[derive(Clone)]
pub struct OfficeKey {
    name: String,
    digest: String,
}

/// A key of one's own is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key to the operator's page needs {least} characters at least", least = OfficeKey::LEAST)]
pub struct KeyTooShort;

impl OfficeKey {
    /// The fewest characters of a key that is brought along.
    pub const LEAST: usize = 24;
    /// Whom a key is for if nobody says.
    const ANYBODY: &str = "anybody";

    /// A fresh key, and the text of it, to show once to the administrator.
    pub fn generate() -> Result<(Self, Zeroizing<String>), getrandom::Error> {
        let key = fresh()?;
        Ok((Self { name: Self::ANYBODY.to_owned(), digest: digest(&["office", &key]) }, key))
    }

    /// A key that is brought along, so that several replicas have the same.
    pub fn new(key: &str) -> Result<Self, KeyTooShort> {
        Self::of(Self::ANYBODY, key)
    }

    /// The same for a named member of staff; the audit log has this name.
    pub fn of(name: &str, key: &str) -> Result<Self, KeyTooShort> {
        let enough = key.chars().count() >= Self::LEAST;
        enough.then(|| Self { name: name.to_owned(), digest: digest(&["office", key]) }).ok_or(KeyTooShort)
    }

    fn opens(&self, key: &str) -> bool {
        session::same(&self.digest, &digest(&["office", key]))
    }

    /// What a session is bound to: it ends with the key.
    fn bond(&self) -> String {
        digest(&["office session", &self.name, &self.digest])
    }
}

impl Portal {
    /// A web server for what is in the database. `boss`, `hlr` and `codes` have the same one.
    pub fn new(boss: Boss, hlr: Arc<Hlr>, database: Database, codes: OneTimeCodes, settings: Settings) -> Self {
        Self {
            inner: Arc::new(Inner { boss, hlr, database, codes, settings, wrong_keys: office::WrongKeys::default() }),
        }
    }

    fn boss(&self) -> &Boss {
        &self.inner.boss
    }

    fn hlr(&self) -> &Hlr {
        &self.inner.hlr
    }

    fn database(&self) -> &Database {
        &self.inner.database
    }

    fn codes(&self) -> &OneTimeCodes {
        &self.inner.codes
    }

    fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    fn wrong_keys(&self) -> &office::WrongKeys {
        &self.inner.wrong_keys
    }

    fn now(&self) -> u64 {
        (self.inner.settings.clock)()
    }
}

/// The operator's page, for a listener of its own: clients of subscribers' pages need not reach this one.
pub fn office_router(portal: Portal) -> Router {
    let frame = from_fn_with_state(portal.clone(), page::frame);
    files()
        .route("/", get(|| async { page::see_other("/office/") }))
        .route("/office/{*rest}", get(|| async { Refusal::NotFound }))
        .merge(office::routes())
        .method_not_allowed_fallback(|| async { Refusal::Method })
        .layer(frame)
        .with_state(portal)
}

/// All pages but the operator's. They are meant for HTTPS: browsers keep the cookies on no other connection, but to their
/// own machine.
pub fn router(portal: Portal) -> Router {
    let frame = from_fn_with_state(portal.clone(), page::frame);
    files()
        .route("/portal/{*rest}", get(|| async { Refusal::NotFound }))
        .route("/care/{*rest}", get(|| async { Refusal::NotFound }))
        // It has its own listener.
        .route("/office", get(|| async { Refusal::NotFound }))
        .route("/office/", get(|| async { Refusal::NotFound }))
        .route("/office/{*rest}", get(|| async { Refusal::NotFound }))
        .merge(contract::routes())
        .merge(care::routes())
        .method_not_allowed_fallback(|| async { Refusal::Method })
        .layer(frame)
        .with_state(portal)
}

/// What pages look like, for a process that has one without the portal too.
pub fn files<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let file = |kind: &'static str, contents: &'static str| {
        get(move || async move { ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "public, max-age=3600")], contents) })
    };
    Router::new()
        .route("/portal/style.css", file("text/css; charset=utf-8", include_str!("style.css")))
        .route("/portal/icon.svg", file("image/svg+xml", include_str!("icon.svg")))
}
