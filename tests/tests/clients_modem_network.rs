//! Programs that send and receive messages through a modem, each unmodified: gammu, smstools, kannel, wvdial, oFono, ModemManager.
//!
//! ```text
//! program ── AT ── our modem ── HTTPS ── our operator's service centre
//!                      │ AUTHENTICATE, EF.SMS
//!                  our card
//! ```
//!
//! The modem is registered because the operator has authenticated its card. A message goes to the number of the modem itself, and so comes
//! back to the program that sent it. All of them are Debian's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use tempfile::TempDir;
use vuicc_tests::modem::{Modem, Program};
use vuicc_tests::network::{Network, free_port};
use vuicc_tests::peer;
use vuicc_tests::process::{Finished, Process, run};

/// A modem that is registered, and the number of its subscriber.
struct Desk {
    _network: Network,
    folder: TempDir,
    modem: Modem,
    number: String,
    pin: String,
}

impl Desk {
    fn new(options: &[&str]) -> Self {
        let network = Network::start();
        let folder = tempfile::tempdir().unwrap();
        let (subscriber, image) = network.subscriber("anna");
        let base = network.base_url();
        let mut modem = network.command(&["modem", "run", image.to_str().unwrap(), "--operator", &base]);
        modem.args(options);
        let mut modem = Modem::start_by(modem, folder.path());
        modem.process.wait_until("registration", |process| process.log().contains("\"registered\""));
        let secrets = fs::read_to_string(&subscriber.file).unwrap();
        let pin = secrets.lines().find_map(|line| line.strip_prefix("pin1 = ")).unwrap().trim_matches('"').to_owned();
        Self { _network: network, folder, modem, number: format!("+{}", subscriber.msisdn.unwrap()), pin }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, contents: &str) -> PathBuf {
        fs::write(self.path(name), contents).unwrap();
        self.path(name)
    }

    /// A program at the terminal. What the one before it has not read is read until an answer that is this one's.
    fn program(&self) -> Program {
        let mut program = self.modem.at_terminal();
        program.write(b"\rATE0V1+CREG=0;+CGREG=0;+CMEE=1;+CMGF=1;+CSDH?\r");
        program.until("+CSDH: 0\r\n\r\nOK\r\n");
        program
    }

    /// Sends a message to the modem itself and waits until it is in EF.SMS.
    fn send_to_itself(&self, text: &str) {
        let mut program = self.program();
        program.ask("AT+CNMI=2,1");
        program.write(format!("AT+CMGS=\"{}\"\r", self.number).as_bytes());
        program.until("> ");
        program.write(text.as_bytes());
        program.write(b"\x1a");
        program.until("+CMTI: \"SM\",1\r\n");
        program.ask("AT&F");
    }

    /// The messages in EF.SMS.
    fn messages(&self) -> Vec<String> {
        self.program().ask("AT+CMGL=\"ALL\"")
    }
}

#[test]
fn gammu_unlocks_sends_and_receives() {
    peer::up_to_three_times(gammu);
}

fn gammu() {
    let Some(gammu) = peer::debian("gammu", "gammu") else { return };
    let mut desk = Desk::new(&[]);
    let settings =
        desk.write("gammurc", &format!("[gammu]\ndevice = {}\nconnection = at\n", desk.modem.terminal().display()));
    let gammu = |arguments: &[&str]| run(Command::new(&gammu).arg("-c").arg(&settings).args(arguments));
    let network = gammu(&["networkinfo"]).success().stdout;
    assert!(network.contains("home network") && network.contains("attached"), "{network}");
    let sent = gammu(&["sendsms", "TEXT", &desk.number, "-text", "hello from gammu"]).success().stdout;
    assert!(sent.contains("OK, message reference="), "{sent}");
    desk.modem.process.wait_until("the message", |_| gammu(&["getallsms"]).stdout.contains("hello from gammu"));
    let _ = gammu(&["deletesms", "1", "1"]).success();
    assert!(!gammu(&["getallsms"]).stdout.contains("hello from gammu"));
    // With a PIN that is asked for it is registered when that was entered.
    let mut program = desk.program();
    assert_eq!(program.ask(&format!("AT+CLCK=\"SC\",1,\"{}\"", desk.pin)), ["OK"]);
    assert_eq!(program.ask("AT+CFUN=0"), ["OK"]);
    assert_eq!(program.ask("AT+CFUN=1"), ["OK"]);
    assert_eq!(program.ask("AT+CREG?"), ["+CREG: 0,0", "OK"]);
    drop(program);
    assert!(gammu(&["getsecuritystatus"]).stdout.contains("Waiting for PIN"));
    let _ = gammu(&["entersecuritycode", "PIN", &desk.pin]).success();
    desk.modem.process.wait_until("registration", |_| gammu(&["networkinfo"]).stdout.contains("home network"));
}

#[test]
fn smstools_sends_and_receives() {
    peer::up_to_three_times(smstools);
}

fn smstools() {
    let Some(smsd) = peer::debian("smsd", "smstools") else { return };
    let desk = Desk::new(&[]);
    for folder in ["out", "checked", "in", "sent", "failed"] {
        fs::create_dir(desk.path(folder)).unwrap();
    }
    let at = |name: &str| desk.path(name).display().to_string();
    let configuration = desk.write(
        "smsd.conf",
        &format!(
            "devices = GSM1\noutgoing = {}\nchecked = {}\nincoming = {}\nsent = {}\nfailed = {}\nlogfile = {}\nloglevel = 7\n\
             infofile = {}\npidfile = {}\ndelaytime = 1\nerrorsleeptime = 1\n\
             [GSM1]\ndevice = {}\nincoming = yes\nbaudrate = 115200\ninit = AT\n",
            at("out"),
            at("checked"),
            at("in"),
            at("sent"),
            at("failed"),
            at("log"),
            at("info"),
            at("pid"),
            desk.modem.terminal().display(),
        ),
    );
    desk.write("out/message", &format!("To: {}\n\nhello from smsd", desk.number.trim_start_matches('+')));
    let mut gateway = Process::start(Command::new(smsd).arg("-c").arg(configuration).arg("-t"), desk.folder.path());
    let holds = |folder: &str, text: &str| {
        let files = fs::read_dir(desk.path(folder)).unwrap().filter_map(Result::ok);
        files.into_iter().any(|file| fs::read_to_string(file.path()).is_ok_and(|read| read.contains(text)))
    };
    gateway.wait_until("the message to be sent", |_| holds("sent", "hello from smsd"));
    gateway.wait_until("the message to come", |_| holds("in", "hello from smsd"));
    assert!(holds("in", &format!("From: {}", desk.number.trim_start_matches('+'))));
    gateway.wait_until("it to be taken off the card", |_| {
        fs::read_to_string(desk.path("log")).is_ok_and(|log| log.contains("AT+CMGD="))
    });
    gateway.stop();
    assert_eq!(desk.messages(), ["OK"], "it was taken off the card");
}

#[test]
fn kannel_sends_and_receives() {
    peer::up_to_three_times(kannel);
}

fn kannel() {
    let (Some(bearerbox), Some(smsbox)) = (peer::debian("bearerbox", "kannel"), peer::debian("smsbox", "kannel"))
    else {
        return;
    };
    let desk = Desk::new(&[]);
    desk.send_to_itself("for kannel");
    let hook = TcpListener::bind("127.0.0.1:0").unwrap();
    let [admin, boxes, sending] = [free_port(), free_port(), free_port()];
    let configuration = desk.write(
        "kannel.conf",
        &format!(
            "group = core\nadmin-port = {admin}\nadmin-password = a\nstatus-password = s\nsmsbox-port = {boxes}\n\
             box-allow-ip = 127.0.0.1\n\n\
             group = modems\nid = generic\nname = vuicc\ninit-string = \"ATZ\"\n\n\
             group = smsc\nsmsc = at\nmodemtype = generic\ndevice = {}\nspeed = 115200\nsms-center = +15550000000\n\
             my-number = {}\nsim-buffering = true\n\n\
             group = smsbox\nbearerbox-host = 127.0.0.1\nbearerbox-port = {boxes}\nsendsms-port = {sending}\n\n\
             group = sendsms-user\nusername = u\npassword = p\n\n\
             group = sms-service\nkeyword = default\nget-url = \"http://127.0.0.1:{}/?from=%p&text=%a\"\nmax-messages = 0\n",
            desk.modem.terminal().display(),
            desk.number,
            hook.local_addr().unwrap().port(),
        ),
    );
    let start = |program: &Path| Process::start(Command::new(program).arg(&configuration), desk.folder.path());
    let mut gateway = start(&bearerbox);
    gateway.wait_until("its port for smsbox", |_| TcpStream::connect(("127.0.0.1", boxes)).is_ok());
    let mut sender = start(&smsbox);
    sender.wait_until("its port for senders", |_| TcpStream::connect(("127.0.0.1", sending)).is_ok());
    let request = request_of(hook);
    assert!(request.contains("text=for+kannel"), "{request}");
    let answer = get(
        sending,
        &format!(
            "/cgi-bin/sendsms?username=u&password=p&from=1&to=%2B{}&text=from+kannel",
            desk.number.trim_start_matches('+')
        ),
    );
    assert!(answer.contains("Accepted for delivery"), "{answer}");
    gateway.wait_until("the message to be sent", |process| process.log().contains("+CMGS: "));
    drop((sender, gateway));
    // What comes while nobody listens is on the card.
    vuicc_tests::process::wait_until("the message to come", || {
        desk.messages().iter().any(|line| line == "from kannel")
    });
}

/// The first line of the request that comes.
fn request_of(hook: TcpListener) -> String {
    let heard = thread::spawn(move || {
        let (mut program, _) = hook.accept().unwrap();
        let mut octets = [0; 1024];
        let read = program.read(&mut octets).unwrap();
        program.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        String::from_utf8_lossy(octets.get(..read).unwrap_or_default()).lines().next().unwrap_or_default().to_owned()
    });
    heard.join().unwrap()
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// It is told that nobody answers: there are no data calls.
#[test]
fn wvdial_finds_a_modem_and_no_carrier() {
    peer::up_to_three_times(wvdial);
}

fn wvdial() {
    let Some(wvdial) = peer::debian("wvdial", "wvdial") else { return };
    let desk = Desk::new(&[]);
    let configuration = desk.write(
        "wvdial.conf",
        &format!(
            "[Dialer Defaults]\nModem = {}\nBaud = 115200\nInit1 = ATZ\nInit2 = ATQ0 V1 E1 S0=0 &C1 &D2 +FCLASS=0\n\
             Phone = *99#\nUsername = u\nPassword = p\nDial Attempts = 1\n",
            desk.modem.terminal().display()
        ),
    );
    let dialled = run(Command::new(wvdial).arg("-C").arg(configuration));
    // How it ends is its own affair: some of its versions fail an assertion then.
    let said = format!("{}{}", dialled.stdout, dialled.stderr);
    for expected in ["Modem initialized.", "ATDT*99#", "No Carrier!"] {
        assert!(said.contains(expected), "no {expected} in {said}");
    }
}

/// A D-Bus of the test's own, where everybody may say everything.
struct Bus {
    _daemon: Process,
    address: String,
}

impl Bus {
    fn start(folder: &Path) -> Option<Self> {
        let daemon = peer::debian("dbus-daemon", "dbus-daemon")?;
        let (socket, configuration) = (folder.join("bus"), folder.join("bus.conf"));
        let address = format!("unix:path={}", socket.display());
        let policy = "<allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/>\
                      <allow own=\"*\"/><allow user=\"*\"/>";
        let text = format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
             \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig><type>system</type>\
             <listen>{address}</listen><auth>EXTERNAL</auth><policy context=\"default\">{policy}</policy></busconfig>\n"
        );
        fs::write(&configuration, text).unwrap();
        let mut daemon = Process::start(
            Command::new(daemon).arg("--config-file").arg(&configuration).args(["--nofork", "--nopidfile"]),
            folder,
        );
        daemon.wait_until("the bus", |_| socket.exists());
        Some(Self { _daemon: daemon, address })
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", &self.address);
        command
    }

    /// Calls a method; what is answered, or why not. It waits longer than a busy machine takes.
    fn call(&self, arguments: &[&str]) -> Finished {
        let send = peer::program("dbus-send").unwrap();
        run(self.command(&send).args(["--system", "--print-reply", "--reply-timeout=100000"]).args(arguments))
    }
}

#[test]
fn ofono_sends_and_receives() {
    peer::up_to_three_times(ofono);
}

fn ofono() {
    let Some(ofonod) = peer::debian("ofonod", "ofono") else { return };
    let desk = Desk::new(&["--listen", "127.0.0.1:0"]);
    let Some(bus) = Bus::start(desk.folder.path()) else { return };
    let (host, port) = desk.modem.address().split_once(':').unwrap();
    let phonesim = desk.write("phonesim.conf", &format!("[vuicc]\nAddress={host}\nPort={port}\n"));
    let mut ofono = bus.command(&ofonod);
    ofono.args(["-n", "-d", "*"]).env("OFONO_PHONESIM_CONFIG", phonesim).env("OFONO_AT_DEBUG", "1");
    let mut ofono = Process::start(&mut ofono, desk.folder.path());
    let call = |arguments: &[&str]| bus.call(&[&["--dest=org.ofono"], arguments].concat());
    let manager = ["/", "org.ofono.Manager.GetModems"];
    ofono.wait_until("the modem", |_| call(&manager).stdout.contains("\"/vuicc\""));
    let properties = |interface: &str| call(&["/vuicc", &format!("org.ofono.{interface}.GetProperties")]).stdout;
    let set = |name: &str| {
        let name = format!("string:{name}");
        call(&["/vuicc", "org.ofono.Modem.SetProperty", &name, "variant:boolean:true"]).code() == Some(0)
    };
    // While it is busy with something else it says so.
    ofono.wait_until("its power", |_| set("Powered"));
    ofono.wait_until("the SIM", |_| properties("SimManager").contains("SubscriberIdentity"));
    let pins = [format!("string:{}", desk.pin), "string:4321".to_owned()];
    let [old, new] = &pins;
    for arguments in [&["LockPin", "string:pin", old][..], &["ChangePin", "string:pin", old, new]] {
        let method = format!("org.ofono.SimManager.{}", arguments.first().unwrap());
        let arguments = [&["/vuicc", method.as_str()], arguments.get(1..).unwrap()].concat();
        ofono.wait_until(&method, |_| call(&arguments).code() == Some(0));
    }
    ofono.wait_until("its radio", |_| set("Online"));
    ofono.wait_until("registration", |_| {
        let network = properties("NetworkRegistration");
        network.contains("\"registered\"") && network.contains("\"lte\"")
    });
    ofono.wait_until("its messages", |_| properties("MessageManager").contains("ServiceCenterAddress"));
    let (to, text) = (format!("string:{}", desk.number), "string:hello from ofono");
    let send = ["/vuicc", "org.ofono.MessageManager.SendMessage", &to, text];
    ofono.wait_until("the message to be taken", |_| call(&send).code() == Some(0));
    // It is given the message, and acknowledges it.
    ofono.wait_until("the message", |process| process.log().contains("+CMT: "));
    ofono.wait_until("its acknowledgement", |process| process.log().contains("AT+CNMA"));
    assert!(ofono.log().contains("+CMGS: "));
}

#[test]
fn modem_manager_sends_and_receives() {
    peer::up_to_three_times(modem_manager);
}

fn modem_manager() {
    let (Some(manager), Some(mmcli)) =
        (peer::debian("ModemManager", "modemmanager"), peer::debian("mmcli", "modemmanager"))
    else {
        return;
    };
    // Who may enable a modem is asked there; root may.
    let polkitd = Path::new("/usr/lib/polkit-1/polkitd");
    if !polkitd.exists() {
        return peer::skip("ModemManager", "no polkitd; apt install polkitd");
    }
    if !rustix::process::geteuid().is_root() {
        return peer::skip_without_kernel("ModemManager", "polkit lets only root enable a modem");
    }
    let name = format!("abstract:vuicc-{}", std::process::id());
    let desk = Desk::new(&["--listen", &name]);
    let Some(bus) = Bus::start(desk.folder.path()) else { return };
    let _authority = Process::start(bus.command(polkitd).arg("--no-debug"), desk.folder.path());
    let mut modems = bus.command(&manager);
    modems.args(["--test-no-udev", "--test-no-suspend-resume", "--test-no-qrtr", "--no-auto-scan", "--test-enable"]);
    let modems = RefCell::new(Process::start(modems.arg("--debug"), desk.folder.path()));
    let wait = |what: &str, ready: &dyn Fn() -> bool| modems.borrow_mut().wait_until(what, |_| ready());
    let named = format!("array:string:{name}");
    let profile = [
        "--dest=org.freedesktop.ModemManager1",
        "/org/freedesktop/ModemManager1",
        "org.freedesktop.ModemManager1.Test.SetProfile",
        "string:vuicc",
        "string:generic",
        &named,
    ];
    wait("its profile", &|| bus.call(&profile).code() == Some(0));
    let mmcli = |arguments: &[&str]| run(bus.command(&mmcli).arg("--timeout=100").args(arguments));
    let modem = |arguments: &[&str]| mmcli(&[&["-m", "any"], arguments].concat());
    wait("the modem", &|| modem(&[]).stdout.contains("disabled"));
    wait("it to be enabled", &|| modem(&["--enable"]).code() == Some(0));
    wait("registration", &|| {
        let said = modem(&[]).stdout;
        said.contains("registration: home") && said.contains("operator id: 00101") && said.contains("attached")
    });
    let create = format!("--messaging-create-sms=text='hello from ModemManager',number='{}'", desk.number);
    let created = RefCell::new(String::new());
    wait("a message", &|| {
        let said = modem(&[&create]);
        said.stdout.split_whitespace().last().unwrap_or_default().clone_into(&mut created.borrow_mut());
        said.code() == Some(0)
    });
    wait("it to be sent", &|| mmcli(&["-s", &created.borrow(), "--send"]).code() == Some(0));
    wait("the message", &|| modem(&["--messaging-list-sms"]).stdout.contains("(received)"));
    let listed = modem(&["--messaging-list-sms"]).stdout;
    let received = listed.lines().find(|line| line.contains("(received)")).unwrap();
    let received = received.split_whitespace().next().unwrap();
    let shown = mmcli(&["-s", received]).success().stdout;
    assert!(shown.contains("hello from ModemManager") && shown.contains(&desk.number), "{shown}");
}
