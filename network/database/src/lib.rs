//! A server's database: SQLite in a file, or PostgreSQL, which several processes may share.
//!
//! Statements are what both understand, with `$n` for what is bound. A read before a write belongs into one
//! [`change!`]; a single statement that writes goes through [`Database::write`].
//!
//! A change of the key that secrets are sealed with needs exclusive use of the database ([`Database::open_alone`]), so that
//! no process continues with the old key. On SQLite the file's own locks ensure it, as a server keeps its connection; on
//! PostgreSQL an advisory lock does, and each new connection is checked ([`Database::sealed_as`]).
//!
//! On SQLite all that is written goes over one connection, and what is waiting to be committed at the same time shares the
//! commit. What need not outlive a loss of power says so ([`Durability`]), and waits for no disk.
//!
//! Work that has to be done some time, by one of several processes, is a [`queue`].

pub mod column;
pub mod columns;
pub mod migrations;
#[cfg(feature = "place")]
pub mod place;
pub mod queue;
pub mod seal;
mod sharing;
mod writer;

use std::error::Error;
use std::io;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sharing::{Hold, Seal};
use sqlx::any::{AnyArguments, AnyPoolOptions, AnyQueryResult, AnyRow, install_default_drivers};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Connection, Executor, Row as _, Transaction};
use tokio::time::{Instant, sleep, timeout};
use writer::{Change, Extent, Writer};

pub use writer::Durability;

/// How many connections a process keeps to a database that has more than one.
const CONNECTIONS: u32 = 8;
/// How long a database may take to say something for the first time.
const TIMEOUT: Duration = Duration::from_secs(8);
/// How often it is looked for a database that is waited for.
const LOOK: Duration = Duration::from_millis(250);
/// How often a change is made again that met another.
const ATTEMPTS: u32 = 24;

/// The tables of a server.
pub trait Schema: 'static {
    /// Pragmas of each SQLite connection, besides the write-ahead log.
    const PRAGMAS: &[&str] = &[];
    /// A statement that tells PostgreSQL by what it is seen which key secrets are sealed with here: one text, or nothing.
    const SEAL: &str = "SELECT NULL::TEXT";

    /// How they come to be, and to be as they are now.
    fn migrations(kind: Kind) -> Migrator;
}

/// A database with tables of this kind, brought up to date. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database<S> {
    pool: AnyPool,
    /// SQLite's, but for a database in memory.
    writer: Option<Arc<Writer>>,
    kind: Kind,
    hold: Hold,
    schema: PhantomData<fn() -> S>,
}

/// A connection in a transaction that may write, and sees what it read stay as it was. Dropped without a [`commit`],
/// nothing of it stays.
#[derive(Debug)]
pub struct Changing(Under);

#[derive(Debug)]
enum Under {
    Transaction(Transaction<'static, Any>),
    Writer(Change),
}

impl Changing {
    /// The connection the change is made on.
    pub fn connection(&mut self) -> Result<&mut AnyConnection, sqlx::Error> {
        match &mut self.0 {
            Under::Transaction(transaction) => Ok(transaction),
            Under::Writer(change) => change.connection(),
        }
    }
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It does not open.
    #[error("the database does not open: {}", told_or(.0, "is it there, and does it take connections?"))]
    Open(#[from] sqlx::Error),
    /// The file is something else.
    #[error("this file is no SQLite database; name another one")]
    Foreign,
    /// It is a PostgreSQL, and this is a build without the feature `postgres`.
    #[error("this build has no PostgreSQL: name a file, or build it with the feature `postgres`")]
    WithoutPostgreSql,
    /// Nothing is heard of it.
    #[error("the database does not open: nothing answers there; is it there, and does it take connections?")]
    Silent,
    /// Somebody has it for themselves.
    #[error(
        "another command has exclusive use of the database, as during a change of its master key; try again afterwards"
    )]
    Taken,
    /// It cannot be had alone.
    #[error("a server or another command has this database open; end it first, and start it again afterwards")]
    InUse,
    /// It is of another time.
    #[error("the database cannot be brought up to date: {}", told_of_migration(.0))]
    Migration(#[from] MigrateError),
}

/// An error of a database in words: where the machine is at fault, with the way out. For errors that wrap it.
pub fn told(error: &sqlx::Error) -> String {
    told_or(error, "")
}

fn told_or(error: &sqlx::Error, otherwise: &str) -> String {
    match way_out(error) {
        Some(way_out) => format!("{way_out} ({error})"),
        None if otherwise.is_empty() => error.to_string(),
        None => format!("{error}; {otherwise}"),
    }
}

fn told_of_migration(error: &MigrateError) -> String {
    way_out(error).map_or_else(|| error.to_string(), |way_out| format!("{way_out} ({error})"))
}

/// Where it is the machine that keeps a database from doing its part: what it is, and what to do. Codes of SQLite
/// (`sqlite3.h`), the lower octet, and SQLSTATE of PostgreSQL.
fn way_out(error: &(dyn core::error::Error + 'static)) -> Option<&'static str> {
    // What is found out while a change is committed with others is wrapped.
    let mut below = Some(error);
    let code = loop {
        let error = below?;
        match error.downcast_ref::<sqlx::Error>() {
            Some(sqlx::Error::Database(error)) => break error.code()?,
            _ => below = error.source(),
        }
    };
    let sqlite = code.parse::<u32>().ok().filter(|_| code.len() < 5).map(|code| code & 0xFF);
    match (sqlite, &*code) {
        (Some(13), _) | (_, "53100") => Some("the disk is full: make room there, then go on"),
        (Some(11), _) | (_, "XX001" | "XX002") => Some(
            "it is damaged: end the servers, and bring back a copy made before, or begin anew with another database",
        ),
        (Some(8), _) => {
            Some("it may only be read here: look at the permissions of file and folder, and at the file system")
        }
        (Some(10), _) | (_, "58030") => Some("the disk cannot be read or written: is it full, or broken?"),
        (Some(14), _) => Some(
            "its file cannot be opened or made: is its folder there, and may file and folder be read and written, also by the \
             file system?",
        ),
        _ => None,
    }
}

/// What keeps a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SQLite, in a file or in memory.
    Sqlite,
    /// PostgreSQL.
    PostgreSql,
}

impl<S: Schema> Database<S> {
    /// Opens what `url` names, and brings it up to date: a path, `sqlite:PATH`, `:memory:`, or `postgres://…`.
    /// A file that is not there is made, for its owner alone.
    pub async fn open(url: &str) -> Result<Self, DatabaseError> {
        Self::open_within(url, Duration::ZERO).await
    }

    /// The same for who may be there before the database is: a PostgreSQL that takes no connections yet, and a database that
    /// somebody has alone, are waited for, so long at most, and the log says so once. A process that has just ended may
    /// still be seen, and one that makes a file has it alone for a moment: that is waited for a few seconds in any case. Other
    /// errors are returned at once.
    pub async fn open_within(url: &str, limit: Duration) -> Result<Self, DatabaseError> {
        has_driver(url)?;
        install_default_drivers();
        let (pool, seal) = (AnyPoolOptions::new(), Arc::<Seal>::default());
        let (pool, writer, kind) = if is_postgresql(url) {
            wait_for(url, limit).await?;
            let pool = pool.max_connections(CONNECTIONS).after_connect({
                let seal = Arc::clone(&seal);
                move |connection, _| {
                    let seal = Arc::clone(&seal);
                    Box::pin(async move { sharing::share(connection, S::SEAL, &seal).await })
                }
            });
            let pool = match pool.connect(url).await {
                // Somebody has had it alone all the time, since it was looked for.
                Err(sqlx::Error::PoolTimedOut) => return Err(DatabaseError::Taken),
                outcome => outcome?,
            };
            (pool, None, Kind::PostgreSql)
        } else {
            let (pool, writer) = open_sqlite(pool, url, limit, S::PRAGMAS).await?;
            (pool, writer.map(Arc::new), Kind::Sqlite)
        };
        Self { pool, writer, kind, hold: Hold::Shared(seal), schema: PhantomData }.up_to_date().await
    }

    /// Opens what `url` names for this process alone, over one connection: while it is open nobody else gets it open.
    ///
    /// # Errors
    /// [`DatabaseError::InUse`] if somebody has it open.
    pub async fn open_alone(url: &str) -> Result<Self, DatabaseError> {
        has_driver(url)?;
        install_default_drivers();
        let kind = if is_postgresql(url) { Kind::PostgreSql } else { Kind::Sqlite };
        let url = match kind {
            Kind::Sqlite => sqlite_url(url),
            Kind::PostgreSql => url.to_owned(),
        };
        let pool = sharing::alone(&url, kind, S::PRAGMAS).await?;
        Self { pool, writer: None, kind, hold: Hold::Alone, schema: PhantomData }.up_to_date().await
    }

    /// Whether it is open exclusively: see [`open_alone`](Self::open_alone).
    pub fn is_alone(&self) -> bool {
        matches!(self.hold, Hold::Alone)
    }

    /// By what it is seen ([`Schema::SEAL`]) that secrets here are sealed with the key this process has. From now on a
    /// connection that finds something else there, because the key was changed while this process had none, is given up.
    pub fn sealed_as(&self, seal: String) {
        if let Hold::Shared(known) = &self.hold {
            known.set(seal);
        }
    }

    async fn up_to_date(self) -> Result<Self, DatabaseError> {
        self.retry(|| self.bring_up_to_date()).await?;
        Ok(self)
    }

    /// Makes the tables what they are now. Of several processes one does it; the others wait, and find it done.
    async fn bring_up_to_date(&self) -> Result<(), DatabaseError> {
        let migrations = S::migrations(self.kind);
        match self.kind {
            // Migrations lock a PostgreSQL themselves.
            Kind::PostgreSql => migrations.run(&self.pool).await?,
            Kind::Sqlite => {
                let mut change = self.begin_on_pool().await?;
                migrations.run(&mut *change).await?;
                change.commit().await?;
            }
        }
        Ok(())
    }

    /// The connections, for what only reads.
    pub fn pool(&self) -> &AnyPool {
        if let Hold::Shared(seal) = &self.hold
            && seal.is_other()
            && !self.pool.is_closed()
        {
            // There will be no connection any more, and nobody waits for one. It is closed with the call; what would be waited
            // for are those in use.
            drop(self.pool.close());
        }
        &self.pool
    }

    /// Does something that needs a connection, unless none will come any more because the seal is another one.
    async fn unless_other_seal<T>(&self, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
        let Hold::Shared(seal) = &self.hold else { return work.await };
        tokio::select! {
            biased;
            error = seal.other() => Err(error),
            done = work => done,
        }
    }

    /// Begins a change: it is made with `commit`. On PostgreSQL it may fail any time, at its end too, because of another
    /// one made meanwhile, and has to be done again from the beginning: see [`Self::retry`].
    pub async fn begin(&self, durability: Durability) -> Result<Changing, sqlx::Error> {
        Ok(Changing(match &self.writer {
            Some(writer) => Under::Writer(writer.begin(Extent::Statements, durability).await?),
            None => Under::Transaction(self.unless_other_seal(self.begin_on_pool()).await?),
        }))
    }

    async fn begin_on_pool(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        let (pool, begin) = (self.pool.clone(), self.kind.begin());
        undisturbed(async move { pool.begin_with(begin).await }).await
    }

    /// Executes a single statement that writes: all of it or nothing.
    pub async fn write(
        &self,
        statement: Query<'_, Any, AnyArguments>,
        durability: Durability,
    ) -> Result<AnyQueryResult, sqlx::Error> {
        let Some(writer) = &self.writer else { return self.unless_other_seal(statement.execute(&self.pool)).await };
        let mut change = writer.begin(Extent::Statement, durability).await?;
        let result = statement.execute(change.connection()?).await?;
        change.commit().await?;
        Ok(result)
    }

    /// The same of one that returns the row it writes, if there is one.
    pub async fn write_returning(
        &self,
        statement: Query<'_, Any, AnyArguments>,
        durability: Durability,
    ) -> Result<Option<AnyRow>, sqlx::Error> {
        let Some(writer) = &self.writer else {
            return self.unless_other_seal(statement.fetch_optional(&self.pool)).await;
        };
        let mut change = writer.begin(Extent::Statement, durability).await?;
        // To its end, or it would not be committed.
        let row = statement.fetch_all(change.connection()?).await?.pop();
        change.commit().await?;
        Ok(row)
    }

    /// Does `work`, and does it again as long as it fails for having met another change. What is in it must not reach
    /// beyond the database.
    ///
    /// # Errors
    /// Those of `work`; [`met_another`] finds an [`sqlx::Error`] below them.
    pub async fn retry<T, E, W>(&self, work: impl Fn() -> W) -> Result<T, E>
    where
        W: Future<Output = Result<T, E>>,
        E: Error + 'static,
    {
        let mut attempt = 1;
        loop {
            match work().await {
                Err(error) if attempt < ATTEMPTS && met_another(&error) => sleep(pause(attempt)).await,
                outcome => return outcome,
            }
            attempt += 1;
        }
    }

    /// Takes what was deleted or overwritten in these tables from where it may still lie: free pages and the write-ahead
    /// log. Copies made elsewhere, PostgreSQL's own log among them, are out of reach.
    ///
    /// `false` if somebody else read at that moment: something may be left, and this is to be done again.
    pub async fn purge(&self, tables: &'static [&'static str]) -> Result<bool, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        match self.kind {
            Kind::PostgreSql => {
                for table in tables {
                    connection.execute(AssertSqlSafe(format!("VACUUM FULL {table}"))).await?;
                }
                Ok(true)
            }
            Kind::Sqlite => {
                connection.execute("VACUUM").await?;
                let log = connection.fetch_one("PRAGMA wal_checkpoint(TRUNCATE)").await?;
                Ok(log.try_get::<i64, _>(0)? == 0)
            }
        }
    }

    /// Closes all connections, a file being whole afterwards.
    pub async fn close(&self) {
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
        self.pool.close().await;
    }
}

/// Makes a change that [`Database::begin`] has begun.
pub async fn commit(change: Changing) -> Result<(), sqlx::Error> {
    match change.0 {
        Under::Transaction(transaction) => undisturbed(transaction.commit()).await,
        Under::Writer(change) => change.commit().await,
    }
}

/// Does something to its end though the waiting caller may go away, as servers do when a client hangs up. A connection
/// that is left in the midst of beginning would go back to the others with a transaction in it.
async fn undisturbed<T: Send + 'static>(
    work: impl Future<Output = Result<T, sqlx::Error>> + Send + 'static,
) -> Result<T, sqlx::Error> {
    // It does not end by itself, unless the whole process does.
    tokio::spawn(work).await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

impl Kind {
    /// How a change begins. SQLite gives the right to write to one at a time; PostgreSQL lets all go on, and fails those
    /// that would not have come to the same one after the other.
    const fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::PostgreSql => "BEGIN ISOLATION LEVEL SERIALIZABLE",
        }
    }
}

/// A change: all that `work` does on the connection, or nothing if it leaves with `?`; the result of the whole. It is
/// done again if it met another change, so it must not reach beyond the database.
///
/// ```ignore
/// change!(self.database, |tx| {
///     query("…").execute(&mut *tx).await?;
///     register::set_status(tx, imsi, status, by).await?
/// })
/// ```
///
/// Where nothing else says what the error is, it is said like the result of a closure: `|tx| -> BossError { … }`. What the
/// change outlives is said before it, where that is not everything: `change!(database, Durability::Process, |tx| …)`.
#[macro_export]
macro_rules! change {
    ($database:expr, |$tx:ident| -> $error:ty $work:block) => {
        $crate::change!($database, $crate::Durability::Disk, |$tx| -> $error $work)
    };
    ($database:expr, |$tx:ident| $work:expr) => {
        $crate::change!($database, |$tx| -> _ { $work })
    };
    ($database:expr, $durability:expr, |$tx:ident| -> $error:ty $work:block) => {{
        let database: &$crate::Database<_> = &$database;
        let durability: $crate::Durability = $durability;
        let work = || async {
            let mut transaction = database.begin(durability).await?;
            let $tx = transaction.connection()?;
            let done = $work;
            $crate::commit(transaction).await?;
            Ok::<_, $error>(done)
        };
        database.retry(work).await
    }};
    ($database:expr, $durability:expr, |$tx:ident| $work:expr) => {
        $crate::change!($database, $durability, |$tx| -> _ { $work })
    };
}

/// A database's name as it may be shown: what stands between `:` and `@` is left out.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        Some((user, place)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{place}")
        }
        None => url.to_owned(),
    }
}

/// Tries it until it takes connections and nobody has it alone, or something else is wrong.
async fn wait_for(url: &str, limit: Duration) -> Result<(), DatabaseError> {
    let began = Instant::now();
    let mut told = false;
    loop {
        let error = match try_once(url).await {
            Err(DatabaseError::Open(error)) if is_not_up_yet(&error) => DatabaseError::Open(error),
            Err(DatabaseError::Taken) => DatabaseError::Taken,
            outcome => return outcome,
        };
        let limit = if matches!(error, DatabaseError::Taken) { limit.max(sharing::ENDING) } else { limit };
        if began.elapsed() >= limit {
            return Err(error);
        }
        if !told {
            let (database, seconds) = (without_password(url), limit.as_secs());
            tracing::warn!(database, seconds, %error, "waiting for the database");
            told = true;
        }
        sleep(LOOK).await;
    }
}

/// Whether this is a server that is not running yet, just starting, or just ending.
fn is_not_up_yet(error: &sqlx::Error) -> bool {
    match error {
        // Nothing listens; or a proxy does, and hangs up. A socket in a folder is not there before its server is.
        sqlx::Error::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::UnexpectedEof
                | io::ErrorKind::NotFound
        ),
        sqlx::Error::Database(error) => error.code().is_some_and(|code| STARTING_OR_ENDING.contains(&&*code)),
        error => is_hung_up(error),
    }
}

/// SQLSTATE 57P01 to 57P03: shutting down, crashed, starting up.
const STARTING_OR_ENDING: [&str; 3] = ["57P01", "57P02", "57P03"];

/// Whether the server hung up when it was asked for TLS. The driver takes the end of the connection for an octet 00.
fn is_hung_up(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Protocol(text) => text.contains("unexpected response from SSLRequest: 0x00"),
        sqlx::Error::Tls(below) => below.downcast_ref::<io::Error>().is_some(),
        _ => false,
    }
}

/// Opens it, and closes it again. A pool would try, for half a minute, what never works, and not say what does not.
async fn try_once(url: &str) -> Result<(), DatabaseError> {
    /// SQLite's NOTADB.
    const NOT_A_DATABASE: &str = "26";
    let attempt = async {
        let mut connection = AnyConnection::connect(url).await?;
        let is_free = if url.starts_with("sqlite:") {
            connection.execute("PRAGMA schema_version").await?;
            // Writes something: no more than this fits on a full disk.
            connection.execute("PRAGMA journal_mode = WAL").await?;
            true
        } else {
            sharing::is_free(&mut connection).await?
        };
        connection.close().await.map(|()| is_free)
    };
    match timeout(TIMEOUT, attempt).await {
        Ok(Err(sqlx::Error::Database(error))) if error.code().is_some_and(|code| code == NOT_A_DATABASE) => {
            Err(DatabaseError::Foreign)
        }
        // Somebody is at it.
        Ok(Err(error)) if met_another(&error) => Err(DatabaseError::Taken),
        Ok(outcome) => {
            if outcome? {
                Ok(())
            } else {
                Err(DatabaseError::Taken)
            }
        }
        Err(_) => Err(DatabaseError::Silent),
    }
}

async fn open_sqlite(
    pool: AnyPoolOptions,
    url: &str,
    limit: Duration,
    pragmas: &'static [&'static str],
) -> Result<(AnyPool, Option<Writer>), DatabaseError> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).unwrap_or(url);
    if path == ":memory:" {
        // A database in memory lives exactly as long as its one connection.
        let pool = pool.max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None);
        return Ok((pool.connect("sqlite::memory:").await?, None));
    }
    let url = sqlite_url(url);
    // Another process that creates the file, or switches it to a write-ahead log, is done in a moment.
    wait_for(&url, limit.max(TIMEOUT)).await?;
    // What keeps one from being set up is said by this one; a pool would try again.
    let mut connection = AnyConnection::connect(&url).await?;
    set_up(&mut connection, pragmas).await?;
    // Foreign keys and a busy timeout of five seconds are the driver's own settings.
    let pool = pool
        .max_connections(CONNECTIONS)
        // A file does not hang up: to ask each time whether it is there still would be a wait for another thread.
        .test_before_acquire(false)
        .after_connect(move |connection, _| Box::pin(set_up(connection, pragmas)))
        .connect(&url)
        .await?;
    Ok((pool, Some(Writer::new(connection))))
}

/// Refuses what this build has no driver for.
fn has_driver(url: &str) -> Result<(), DatabaseError> {
    if is_postgresql(url) && !cfg!(feature = "postgres") { Err(DatabaseError::WithoutPostgreSql) } else { Ok(()) }
}

fn is_postgresql(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// What the driver calls a file, which is made for its owner alone if it is not there.
fn sqlite_url(url: &str) -> String {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).unwrap_or(url);
    create_private(Path::new(path));
    let path = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("sqlite:{path}?mode=rwc")
}

/// Sets a connection to SQLite up.
async fn set_up(connection: &mut AnyConnection, pragmas: &[&str]) -> Result<(), sqlx::Error> {
    // What was answered is there after a power cut, too.
    for pragma in ["journal_mode = WAL", "synchronous = FULL"].iter().chain(pragmas) {
        connection.execute(AssertSqlSafe(format!("PRAGMA {pragma}"))).await?;
    }
    Ok(())
}

/// Makes the file, unless it is there, readable for its owner only; the files SQLite puts beside it follow it.
fn create_private(path: &Path) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // What keeps the file from being made keeps the database from being opened, which says so better.
    let _ = options.open(path);
}

/// Whether, somewhere below, this is a change that met another one: it may well succeed next time.
pub fn met_another(error: &(dyn Error + 'static)) -> bool {
    /// SQLSTATE 40001 and 40P01: serialization failure and deadlock; SQLite's BUSY.
    const CODES: [&str; 3] = ["40001", "40P01", "5"];
    let mut below = Some(error);
    while let Some(error) = below {
        if let Some(sqlx::Error::Database(error)) = error.downcast_ref::<sqlx::Error>() {
            return error.code().is_some_and(|code| CODES.contains(&&*code));
        }
        below = error.source();
    }
    false
}

/// Whether, somewhere below, this is a database that is not there, or was gone while it was asked: it may soon be back.
pub fn is_away(error: &(dyn Error + 'static)) -> bool {
    /// SQLSTATE class 08: connection exceptions.
    const CONNECTION: &str = "08";
    let mut below = Some(error);
    while let Some(error) = below {
        match error.downcast_ref::<sqlx::Error>() {
            Some(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) => return true,
            Some(sqlx::Error::Database(error)) => {
                return error
                    .code()
                    .is_some_and(|code| code.starts_with(CONNECTION) || STARTING_OR_ENDING.contains(&&*code));
            }
            Some(error) if is_hung_up(error) => return true,
            // The driver of many databases wraps what the driver of one says.
            _ => below = error.source(),
        }
    }
    false
}

/// The delay before the next attempt: exponential backoff with jitter.
fn pause(attempt: u32) -> Duration {
    let most = 1 << attempt.min(7);
    let mut random = [0; 2];
    // Without randomness, everybody waits the longest.
    let share = getrandom::fill(&mut random).map_or(u64::from(u16::MAX), |()| u64::from(u16::from_be_bytes(random)));
    Duration::from_micros(most * 1000 * (share + 1) / (u64::from(u16::MAX) + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::SqlSafeStr as _;
    use sqlx::migrate::{Migration, MigrationType};

    #[derive(Debug)]
    struct Growing;

    impl Schema for Growing {
        fn migrations(_: Kind) -> Migrator {
            let steps = (1..=9).map(|number| {
                let sql = match number {
                    1 => "CREATE TABLE thing (first TEXT)".to_owned(),
                    _ => format!("ALTER TABLE thing ADD COLUMN number{number} TEXT"),
                };
                let sql = AssertSqlSafe(sql).into_sql_str();
                Migration::new(number, "step".into(), MigrationType::Simple, sql, false)
            });
            Migrator { migrations: steps.collect::<Vec<_>>().into(), ..Migrator::DEFAULT }
        }
    }

    #[tokio::test]
    async fn what_cannot_be_opened_says_why() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("anna.toml");
        std::fs::write(&path, "imsi = \"001010000000001\"\n".repeat(64)).expect("a file");
        let opened = Database::<Growing>::open(path.to_str().expect("a plain path")).await;
        assert!(matches!(opened, Err(DatabaseError::Foreign)), "{opened:?}");
        let nobody =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let opened = Database::<Growing>::open(&format!("postgres://op@{nobody}/operator")).await;
        let Err(DatabaseError::Open(error)) = opened else { panic!("{opened:?}") };
        assert!(error.to_string().contains("refused"), "{error}");
    }

    /// Where it is the machine, what to do is said: a folder that is missing, a damaged file, a full disk.
    #[tokio::test]
    async fn environment_errors_name_their_cause_and_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).to_str().expect("a plain path").to_owned();
        let opened = Database::<Growing>::open(&path("nowhere/x.db")).await;
        let told = opened.map(drop).expect_err("no folder").to_string();
        assert!(
            told.starts_with("the database does not open: its file cannot be opened or made: is its folder"),
            "{told}"
        );

        let database = Database::<Growing>::open(&path("x.db")).await.expect("a database");
        let mut change = database.begin_on_pool().await.expect("a change");
        sqlx::query("PRAGMA max_page_count = 1").execute(&mut *change).await.expect("a limit");
        let fill = "INSERT INTO thing (first) VALUES (hex(randomblob(1000000)))";
        let no_room = sqlx::query(fill).execute(&mut *change).await.map(drop).expect_err("no room");
        assert!(told_or(&no_room, "").starts_with("the disk is full: make room there, then go on ("), "{no_room}");
        let wrapped = sqlx::Error::AnyDriverError(Box::new(no_room));
        assert!(super::told(&wrapped).starts_with("the disk is full: make room there"), "{wrapped}");
        drop(change);
        database.close().await;

        let mut octets = std::fs::read(path("x.db")).expect("a file");
        octets.iter_mut().skip(100).for_each(|octet| *octet = 0x5A);
        std::fs::write(path("x.db"), octets).expect("written");
        let opened = Database::<Growing>::open(&path("x.db")).await;
        let told = opened.map(drop).expect_err("damaged").to_string();
        assert!(told.contains("it is damaged: end the servers, and bring back a copy made before"), "{told}");
    }

    /// Whatever is wrong but that nobody is there yet is said without waiting.
    #[tokio::test]
    async fn what_is_not_there_yet_is_waited_for() {
        let nobody =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let url = format!("postgres://op@{nobody}/operator");
        tokio::time::pause();
        let began = Instant::now();
        let limit = Duration::from_hours(1);
        let opened = Database::<Growing>::open_within(&url, limit).await;
        assert!(matches!(&opened, Err(DatabaseError::Open(error)) if is_not_up_yet(error)), "{opened:?}");
        assert!(began.elapsed() >= limit);
        let began = Instant::now();
        for wrong in ["postgres://op@no such host/operator", "postgres://op@127.0.0.1:99999/operator"] {
            Database::<Growing>::open_within(wrong, limit).await.expect_err("no such place");
        }
        assert!(began.elapsed() < limit);
    }

    /// A server that is killed hangs up at any point of the greeting. It may soon be back.
    #[cfg(feature = "postgres")]
    #[tokio::test]
    async fn a_server_that_hangs_up_is_away_and_waited_for() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        /// What it says before it hangs up, after so many octets from the client.
        const GREETINGS: [(usize, &[u8]); 5] =
            [(0, b""), (8, b""), (8, b"N"), (9, b"N"), (9, b"NE\0\0\0\x1FSFATAL\0VFATAL\0C57P02\0Mgone\0\0")];
        install_default_drivers();
        for (number, (octets, said)) in GREETINGS.into_iter().enumerate() {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let url = format!("postgres://op@{}/operator", listener.local_addr().expect("an address"));
            let server = async {
                let (mut socket, _) = listener.accept().await.expect("a client");
                let first = said.len().min(1);
                socket.read_exact(&mut vec![0; octets.min(8)]).await.expect("a request for TLS");
                socket.write_all(&said[..first]).await.expect("an answer to it");
                socket.read_exact(&mut vec![0; octets.saturating_sub(8)]).await.expect("a greeting");
                socket.write_all(&said[first..]).await.expect("an answer to it");
                socket.shutdown().await.expect("the end");
            };
            let (connected, ()) = tokio::join!(AnyConnection::connect(&url), server);
            let error = connected.map(drop).expect_err("no database");
            assert!(is_away(&error) && is_not_up_yet(&error), "{number}: {error:?}");
            assert!(is_away(&sqlx::Error::AnyDriverError(Box::new(error))), "{number}");
        }
    }

    /// Before 3.51.3 a checkpoint that met a writer could corrupt a file with a write-ahead log.
    #[tokio::test]
    async fn sqlite_is_recent() {
        const OLDEST: [u32; 3] = [3, 51, 3];
        let database = Database::<Growing>::open(":memory:").await.expect("a database");
        let version: String =
            sqlx::query_scalar("SELECT sqlite_version()").fetch_one(database.pool()).await.expect("a version");
        let numbers = version.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>().expect("numbers");
        assert!(numbers >= OLDEST.to_vec(), "SQLite {version} is linked: raise libsqlite3-sys");
    }

    #[tokio::test]
    async fn what_is_purged_lies_nowhere_any_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("database.db");
        let database = Database::<Growing>::open(path.to_str().expect("a plain path")).await.expect("a database");
        let everywhere = || {
            let files = std::fs::read_dir(folder.path()).expect("a folder");
            let all = files.flat_map(|file| std::fs::read(file.expect("a file").path()).expect("octets"));
            String::from_utf8_lossy(&all.collect::<Vec<_>>()).into_owned()
        };
        for sql in ["INSERT INTO thing (first) VALUES ('a secret')", "UPDATE thing SET first = 'sealed'"] {
            sqlx::query(sql).execute(database.pool()).await.expect("done");
        }
        assert!(everywhere().contains("a secret"));
        assert!(database.purge(&["thing"]).await.expect("done"));
        assert!(!everywhere().contains("a secret"));
        assert!(everywhere().contains("sealed"));
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(without_password("postgres://vuicc:s3cr@t@db:5432/op"), "postgres://vuicc@db:5432/op");
        assert_eq!(without_password("postgres://db/op"), "postgres://db/op");
        assert_eq!(without_password("/var/lib/operator.db"), "/var/lib/operator.db");
    }

    /// A server, and a command beside it, both the first to open a file.
    #[test]
    fn concurrent_opens_of_a_new_file_find_it_up_to_date() {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..8 {
            let path = folder.path().join(format!("{number}.db"));
            let url = path.to_str().expect("a plain path");
            let open = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async {
                    let database = Database::<Growing>::open(url).await?;
                    sqlx::query("INSERT INTO thing (number9) VALUES ('x')").execute(database.pool()).await?;
                    database.close().await;
                    Ok::<_, DatabaseError>(())
                })
            };
            std::thread::scope(|scope| {
                let opening: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
                for opened in opening {
                    opened.join().expect("no panic").expect("up to date");
                }
            });
        }
    }
}
