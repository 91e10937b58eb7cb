//! Programs: run to their end, or beside the test until it ends.
//!
//! None outlives the test's own process, not even if that is killed: see [`start`].

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::schema::Expected;

/// No program here takes longer, unless it hangs.
const TIMEOUT: Duration = Duration::from_mins(2);
/// No program here takes longer to end once it is asked to: one that runs a card waits until the reader has missed it.
const ENDING: Duration = Duration::from_secs(30);
/// Time between two looks at a program.
const GLANCE: Duration = Duration::from_millis(5);

/// What a program left behind.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Finished {
    /// The exit code; `None` if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// This, if the program was successful.
    ///
    /// # Panics
    /// If it was not, with all it said.
    #[must_use]
    pub fn success(self) -> Self {
        assert!(self.status.success(), "{self:#?}");
        self
    }
}

/// Runs a program to its end.
///
/// # Panics
/// If it cannot be started or does not end, or prints other JSON than the schema says.
pub fn run(command: &mut Command) -> Finished {
    run_until(command, Stdio::null(), TIMEOUT)
}

/// [`run`] for a program that reads a file on its stdin.
///
/// # Panics
/// See [`run`].
pub fn run_with_stdin(command: &mut Command, stdin: File) -> Finished {
    run_until(command, stdin.into(), TIMEOUT)
}

/// [`run`] for a program that may take longer.
pub fn run_within(command: &mut Command, timeout: Duration) -> Finished {
    run_until(command, Stdio::null(), timeout)
}

fn run_until(command: &mut Command, stdin: Stdio, timeout: Duration) -> Finished {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, err) = (folder.path().join("stdout"), folder.path().join("stderr"));
    let mut child = spawn(command, stdin, &out, &err);
    let deadline = Instant::now() + timeout;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{command:?} does not end; it printed:\n{}\n{}", text(&out), text(&err));
        }
        thread::sleep(GLANCE);
    };
    let finished = Finished { status, stdout: text(&out), stderr: text(&err) };
    if let Some(expected) = Expected::of(command) {
        expected.check(&finished.stdout, finished.code());
    }
    finished
}

/// A program that runs beside the test. It ends when this is dropped, also when the test fails.
///
/// What one of ours prints as JSON is checked against the schema then.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// Where its JSON goes, and what is expected of that; all else goes to the log.
    json: Option<(PathBuf, Expected)>,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it prints goes to a file in `folder`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(command: &mut Command, folder: &Path) -> Self {
        let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = unused(folder, &format!("{program}.log"));
        let json = Expected::of(command).map(|expected| (log.with_extension("json"), expected));
        let out = json.as_ref().map_or(&log, |(out, _)| out);
        let child = spawn(command, Stdio::null(), out, &log);
        Self { name: program, child, json, log }
    }

    /// All it has printed so far: its JSON first, if it prints JSON.
    pub fn log(&self) -> String {
        self.json.as_ref().map_or_else(String::new, |(out, _)| text(out)) + &text(&self.log)
    }

    /// The number the operating system knows it by.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    ///
    /// # Panics
    /// If that cannot be known.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    /// Waits until `ready` holds.
    ///
    /// # Panics
    /// If the program ends before that, or nothing happens.
    pub fn wait_until(&mut self, what: &str, mut ready: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        while !ready(self) {
            let ended = self.child.try_wait().expect("a child can be waited for");
            let name = &self.name;
            assert!(ended.is_none(), "{name} ended ({ended:?}) before {what}:\n{}", self.log());
            assert!(Instant::now() < deadline, "{name}: no sign of {what}:\n{}", self.log());
            thread::sleep(GLANCE);
        }
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// If it does not.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "{} does not end:\n{}", self.name, self.log());
            thread::sleep(GLANCE);
        }
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// If it does not end.
    pub fn stop(mut self) -> ExitStatus {
        self.end().unwrap_or_else(|| panic!("{} does not end when asked to:\n{}", self.name, self.log()))
    }

    /// Takes it away as a power cut would: no last word, no tidying.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end at once, and waits until it has: SIGQUIT.
    ///
    /// # Panics
    /// If it does not end.
    pub fn quit(mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::QUIT);
        self.wait_for_end();
    }

    /// Takes it away, and leaves what the system keeps of it until somebody has asked for its exit code.
    ///
    /// # Panics
    /// If that cannot be done.
    pub fn kill_unnoticed(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::KILL).expect("a child can be killed");
        let over = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = waitid(WaitId::Pid(pid), over).expect("a child can be waited for");
    }

    fn end(&mut self) -> Option<ExitStatus> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(status);
        }
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + ENDING;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            thread::sleep(GLANCE);
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = self.end();
        if ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            eprintln!("--- {} printed:\n{}", self.name, self.log());
        } else if let Some((out, expected)) = &self.json {
            expected.check(&text(out), ended.and_then(|status| status.code()));
        }
    }
}

/// Waits until something holds that no program beside the test has to live for.
///
/// # Panics
/// If it never does.
pub fn wait_until(what: &str, ready: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !ready() {
        assert!(Instant::now() < deadline, "no sign of {what}");
        thread::sleep(GLANCE);
    }
}

fn spawn(command: &Command, stdin: Stdio, out: &Path, err: &Path) -> Child {
    let file = |path: &Path| File::options().create(true).append(true).open(path).expect("a log file").into();
    start(command, stdin, file(out), file(err))
}

/// Starts a program, which the kernel asks to end when this process is gone, whether it has ended or was killed.
///
/// A program that becomes another user, or enters a user namespace, is not asked any more.
///
/// # Panics
/// If it cannot be started.
pub fn start(command: &Command, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Child {
    /// Of a program to be started, and who waits for it.
    type Order = (Command, SyncSender<io::Result<Child>>);
    /// The kernel watches the thread that starts a program, and threads of tests come and go: this one stays.
    static STARTER: LazyLock<Sender<Order>> = LazyLock::new(|| {
        let (order, orders) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, started) in orders {
                let _ = started.send(command.spawn());
            }
        });
        order
    });
    let mut tied = until_death("TERM");
    tied.arg("--").arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        tied.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => tied.env(name, value),
            None => tied.env_remove(name),
        };
    }
    tied.stdin(stdin).stdout(stdout).stderr(stderr);
    let (started, child) = sync_channel(1);
    STARTER.send((tied, started)).expect("the thread that starts programs stays");
    let child = child.recv().expect("the thread that starts programs stays");
    child.unwrap_or_else(|cause| panic!("{command:?} cannot be started: {cause}; setpriv is of Debian's util-linux"))
}

/// `setpriv`, which becomes the program named by further arguments; that gets `signal` when its parent is gone.
pub(crate) fn until_death(signal: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal]);
    command
}

/// A file that is not there yet: `1-NAME`, `2-NAME`, and so on.
///
/// # Panics
/// If there are thousands.
pub fn unused(folder: &Path, name: &str) -> PathBuf {
    let free = (1..u16::MAX).map(|n| folder.join(format!("{n}-{name}"))).find(|path| !path.exists());
    free.expect("a test has fewer files than there are numbers")
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;

    #[test]
    fn output_and_exit_code_are_collected() {
        let finished = run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]));
        assert_eq!((finished.code(), &*finished.stdout, &*finished.stderr), (Some(3), "out\n", "err\n"));
    }

    #[test]
    fn a_companion_ends_with_the_test() {
        let folder = tempfile::tempdir().unwrap();
        let mut companion = Process::start(Command::new("sh").args(["-c", "echo up; exec sleep 1000"]), folder.path());
        companion.wait_until("its greeting", |process| process.log() == "up\n");
        let status = Path::new("/proc").join(companion.id().to_string()).join("status");
        assert!(status.exists());
        drop(companion);
        assert!(!status.exists());
    }

    /// The test is run once more for that, as a process of its own.
    #[test]
    fn a_companion_ends_with_a_test_that_is_killed() {
        const FOLDER: &str = "VUICC_TEST_COMPANION";
        if let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) {
            let companion = || Process::start(Command::new("sleep").arg("1000"), &folder);
            // The thread that asked for it is gone at once: that ends nothing.
            let mut companion = thread::scope(|scope| scope.spawn(companion).join().unwrap());
            fs::write(folder.join("id"), companion.id().to_string()).unwrap();
            companion.wait_for_end();
        }
        let folder = tempfile::tempdir().unwrap();
        let mut again = Command::new(env::current_exe().unwrap());
        again.args([thread::current().name().unwrap(), "--exact"]).env(FOLDER, folder.path());
        let mut test = Process::start(&mut again, folder.path());
        let id = || fs::read_to_string(folder.path().join("id")).unwrap_or_default();
        // Before it is what was asked for it is setpriv, which may not have tied it to the test yet.
        let is = || fs::read_to_string(Path::new("/proc").join(id()).join("comm")).unwrap_or_default();
        test.wait_until("its companion", |_| is() == "sleep\n");
        let status = Path::new("/proc").join(id()).join("status");
        let runs = || fs::read_to_string(&status).is_ok_and(|status| !status.contains("State:\tZ"));
        assert!(runs());
        test.kill();
        let deadline = Instant::now() + TIMEOUT;
        while runs() {
            assert!(Instant::now() < deadline, "it has outlived its test");
            thread::sleep(GLANCE);
        }
    }
}
