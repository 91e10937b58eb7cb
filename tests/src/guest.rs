//! A Debian guest in QEMU, with a stock kernel, libccid and pcscd: `scripts/usb-guest` builds it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::peer;
use crate::process::{Process, run_within, unused};
use crate::repository;

/// No guest takes longer to boot or to carry out a line, unless it hangs: without KVM, on a machine with much else to do.
const LIMIT: Duration = Duration::from_mins(8);
/// How long a guest under KVM may take for its kernel's first word. A nested one may hang without a word.
const FIRST_WORD: Duration = Duration::from_secs(15);
/// Where a guest finds this machine's own addresses.
pub const HOST: &str = "10.0.2.2";

/// What guests are made of.
#[derive(Clone, Debug)]
pub struct Made {
    folder: PathBuf,
    qemu: PathBuf,
    /// Whether lpac is in it.
    pub has_lpac: bool,
}

impl Made {
    /// Builds it, unless that is done; `None`, said aloud, where that is not possible.
    ///
    /// # Panics
    /// If it should be possible.
    pub fn for_test(test: &str) -> Option<Self> {
        let qemu = peer::debian("qemu-system-x86_64", "qemu-system-x86")?;
        peer::debian("mmdebstrap", "mmdebstrap")?;
        peer::debian("cpio", "cpio")?;
        if !rustix::process::geteuid().is_root() {
            peer::skip(test, "the guest is built by root");
            return None;
        }
        let lpac = peer::named_by("LPAC", "lpac in a guest");
        let mut script = Command::new(repository().join("scripts/usb-guest"));
        if let Some(lpac) = &lpac {
            script.arg("--lpac").arg(lpac);
        }
        let finished = run_within(&mut script, LIMIT);
        if finished.code() == Some(75) {
            peer::skip(test, finished.stderr.trim());
            return None;
        }
        let _ = finished.success();
        Some(Self { folder: repository().join("target/usb-guest"), qemu, has_lpac: lpac.is_some() })
    }

    /// Starts a guest with these further options of QEMU, under KVM where that runs, and waits until it takes lines.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start(&self, folder: &Path, options: &[&str]) -> Guest {
        self.start_reached(folder, options, &[])
    }

    /// The same, with ports of this machine that lead to ports of the guest.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start_reached(&self, folder: &Path, options: &[&str], ports: &[(u16, u16)]) -> Guest {
        let forward = |(here, there): &(u16, u16)| format!(",hostfwd=tcp:127.0.0.1:{here}-:{there}");
        let network = format!("user,id=net{}", ports.iter().map(forward).collect::<String>());
        let options = [&["-netdev", &network, "-device", "virtio-net-pci,netdev=net"], options].concat();
        let options = options.as_slice();
        let has_kvm = Path::new("/dev/kvm").exists();
        let guest = has_kvm.then(|| self.start_under("kvm", folder, options)).flatten();
        let guest = guest.or_else(|| self.start_under("tcg", folder, options));
        let mut guest = guest.expect("a guest");
        peer::say(&format!("the guest runs under {}", guest.accelerator.to_uppercase()));
        let greeting = guest.until(|line| line == "guest ready");
        assert!(greeting.is_some(), "the guest does not come up: {}", guest.console());
        guest
    }

    fn start_under(&self, accelerator: &'static str, folder: &Path, options: &[&str]) -> Option<Guest> {
        let (line, console) = (unused(folder, "guest.line"), unused(folder, "guest.console"));
        // Other tests have the processors as well.
        let mut qemu = Command::new("nice");
        qemu.arg(&self.qemu).args(["-accel", accelerator, "-cpu", if accelerator == "kvm" { "host" } else { "max" }]);
        qemu.args(["-m", "768", "-smp", "1", "-nodefaults", "-display", "none", "-no-reboot"]);
        qemu.args(["-append", "console=ttyS1 panic=-1"]);
        qemu.arg("-kernel").arg(self.folder.join("vmlinuz")).arg("-initrd").arg(self.folder.join("initrd"));
        qemu.arg("-serial").arg(format!("unix:{},server=on,wait=off", line.display()));
        qemu.arg("-serial").arg(format!("file:{}", console.display()));
        qemu.args(["-device", "qemu-xhci"]);
        let mut process = Process::start(qemu.args(options), folder);
        let deadline = Instant::now() + FIRST_WORD;
        let mut stream = None;
        while !process.has_ended() {
            stream = stream.or_else(|| UnixStream::connect(&line).ok());
            let says = std::fs::read_to_string(&console).is_ok_and(|said| said.contains("Linux version"));
            if says || accelerator == "tcg" {
                if let Some(stream) = stream.take() {
                    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
                    return Some(Guest { accelerator, line: BufReader::new(stream), process, console });
                }
            } else if Instant::now() >= deadline {
                process.kill();
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(accelerator == "kvm", "QEMU ends: {}", process.log());
        None
    }
}

/// A guest that runs.
#[derive(Debug)]
pub struct Guest {
    /// `kvm` or `tcg`.
    pub accelerator: &'static str,
    line: BufReader<UnixStream>,
    process: Process,
    console: PathBuf,
}

impl Guest {
    /// All lines up to one that is looked for, and that; `None` if the guest ends or is silent for too long.
    fn until(&mut self, is_it: impl Fn(&str) -> bool) -> Option<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let mut octets = Vec::new();
            if self.line.read_until(b'\n', &mut octets).is_err() || octets.is_empty() {
                return None;
            }
            let line = String::from_utf8_lossy(&octets).trim_end().to_owned();
            let is_last = is_it(&line);
            lines.push(line);
            if is_last {
                return Some(lines);
            }
        }
    }

    /// What kernel and QEMU have said.
    fn console(&self) -> String {
        let console = std::fs::read(&self.console).unwrap_or_default();
        String::from_utf8_lossy(&console).into_owned() + &self.process.log()
    }

    /// Has the guest's shell carry out a line: its exit code, and what it printed.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn ask(&mut self, line: &str) -> (i32, String) {
        writeln!(self.line.get_mut(), "{line}").expect("the guest takes lines");
        let exit = |line: &str| line.strip_prefix("exit ").and_then(|code| code.parse::<i32>().ok());
        let Some(mut lines) = self.until(|line| exit(line).is_some()) else {
            panic!("{line}: the guest does not answer: {}", self.console());
        };
        let code = lines.pop().as_deref().and_then(exit).unwrap_or(-1);
        (code, lines.join("\n"))
    }

    /// The same for a line that has to succeed: what it printed.
    ///
    /// # Panics
    /// If it does not.
    pub fn done(&mut self, line: &str) -> String {
        let (code, said) = self.ask(line);
        assert!(code == 0, "{line}: exit code {code}: {said}");
        said
    }

    /// Asks a line again and again until its output is as wanted, and returns that.
    ///
    /// # Panics
    /// If it never is.
    pub fn until_says(&mut self, line: &str, is_it: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let (_, said) = self.ask(line);
            if is_it(&said) {
                return said;
            }
            assert!(Instant::now() < deadline, "{line}: {said}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
