//! What the server logs, with and without a filter.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Everything that is written.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// One for all tests of this process.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let filter: Targets = "off,smdp=trace,rsp_server=trace,https=trace".parse().unwrap();
    let all = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(false).with_writer(log.clone());
    all.finish().with(filter).init();
    log
});

/// What was written since this was called first, by whichever test.
pub(crate) fn text() -> String {
    String::from_utf8(LOG.0.lock().unwrap().clone()).unwrap()
}
