//! srsRAN's phone, base station and core network: the phone's SIM is our card in the reader, and the radio is ZeroMQ.
//!
//! srsRAN 4G is no Debian package: `SRSRAN` names a checkout of it, built in its folder `build`. Without it, or without
//! root (the phone makes a TUN device), these tests are skipped. Where the kernel has no SCTP, what base station and core
//! say to each other goes over UDP (`tests/radio`).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use vuicc_tests::process::{Process, run};
use vuicc_tests::reader::{Reader, beside_private_reader};
use vuicc_tests::subscriber::{IMSI, K, OPC, package, subscriber};
use vuicc_tests::vuicc::Card;
use vuicc_tests::{peer, repository};

/// Samples per second of a cell with 15 resource blocks, the least that the station's own configuration fits in.
const SAMPLES: &str = "base_srate=3.84e6";

/// The network's sequence number is behind the card's, so the phone resynchronises first, and then attaches.
#[test]
fn a_phone_attaches_with_a_profile_on_an_euicc() {
    with_network(&hex::encode(K), |network, phone| {
        phone.wait_until("the phone to be attached", |phone| {
            let said = phone.log();
            assert!(!said.contains("reject"), "{said}\n{}", network.core.log());
            said.contains("Network attach successful")
        });
        let core = network.core.log();
        assert!(core.contains("Authentication Failure -- Synchronization Failure"), "{core}");
        assert!(core.contains("UE Authentication Accepted"), "{core}");
    });
}

/// The network has another key: the card refuses it.
#[test]
fn a_phone_stays_away_from_a_false_network() {
    with_network("00112233445566778899aabbccddeeff", |network, phone| {
        network.core.wait_until("the card's refusal", |core| core.log().contains("MAC code failure"));
        let said = phone.log();
        assert!(!said.contains("Network attach successful"), "{said}");
    });
}

/// Core network and base station.
struct Network {
    core: Process,
    _station: Process,
}

/// Puts a card into the reader of a phone, in a network that knows the subscriber by the key `key`.
fn with_network(key: &str, test: impl FnOnce(&mut Network, &mut Process)) {
    let Some(srsran) = peer::named_by("SRSRAN", "srsRAN") else { return };
    if !rustix::process::geteuid().is_root() {
        return peer::skip_fetched("srsRAN", "its phone makes a TUN device, for which it must be root");
    }
    beside_private_reader(|reader| {
        let folder = tempfile::tempdir().unwrap();
        let card = Card::new(folder.path(), &[&package(folder.path(), &subscriber(1))]);
        let _card = card.insert(reader, 0);
        let place = Place { folder, srsran: srsran.clone() };
        let mut core = place.core(key);
        core.wait_until("the core network", |core| core.log().contains("SP-GW Initialized"));
        let mut station = place.station();
        station.wait_until("the base station", |station| station.log().contains("eNodeB started"));
        let mut phone = place.phone();
        test(&mut Network { core, _station: station }, &mut phone);
        // It waits for its own threads at an end that is asked for.
        phone.kill();
    });
}

/// Where the programs are, and where they keep what they keep.
struct Place {
    folder: TempDir,
    srsran: PathBuf,
}

impl Place {
    /// A program of srsRAN with a home of its own: phone and station would overwrite each other's notes there.
    fn program(&self, name: &str) -> (Command, PathBuf) {
        let home = self.folder.path().join(name);
        fs::create_dir_all(&home).unwrap();
        let mut program = Command::new(self.srsran.join("build").join(name).join("src").join(name));
        program.current_dir(&home).env("HOME", &home);
        (program, home)
    }

    fn core(&self, key: &str) -> Process {
        let (mut program, home) = self.program("srsepc");
        let users = home.join("users.csv");
        fs::write(&users, format!("phone,mil,{IMSI},{key},opc,{},8000,000000000000,9,dynamic\n", hex::encode(OPC)))
            .unwrap();
        let configuration = home.join("epc.conf");
        fs::write(
            &configuration,
            format!(
                "[mme]\nmme_code = 0x1a\nmme_group = 0x0001\ntac = 0x0007\nmcc = 001\nmnc = 01\n\
                 mme_bind_addr = 127.0.1.100\napn = srsapn\ndns_addr = 127.0.0.1\nencryption_algo = EEA0\n\
                 integrity_algo = EIA1\npaging_timer = 2\n[hss]\ndb_file = {}\n[spgw]\ngtpu_bind_addr = 127.0.1.100\n\
                 sgi_if_addr = 172.16.0.1\nsgi_if_name = srs_spgw_sgi\nmax_paging_queue = 100\n\
                 [log]\nall_level = info\nfilename = stdout\n",
                users.display()
            ),
        )
        .unwrap();
        Process::start(self.over_udp(&mut program).arg(configuration), &home)
    }

    fn station(&self) -> Process {
        let (mut program, home) = self.program("srsenb");
        let theirs = self.srsran.join("srsenb");
        let part = |name: &str| theirs.join(format!("{name}.conf.example"));
        fs::write(
            home.join("enb.conf"),
            format!(
                "[enb]\nenb_id = 0x19B\nmcc = 001\nmnc = 01\nmme_addr = 127.0.1.100\ngtp_bind_addr = 127.0.1.1\n\
                 s1c_bind_addr = 127.0.1.1\ns1c_bind_port = 0\nn_prb = 15\n[enb_files]\nsib_config = {}\n\
                 rr_config = {}\nrb_config = {}\n[rf]\ndevice_name = zmq\ndevice_args = fail_on_disconnect=true,\
                 tx_port=tcp://127.0.0.1:2000,rx_port=tcp://127.0.0.1:2001,id=enb,{SAMPLES}\n\
                 [log]\nall_level = warning\nfilename = stdout\n",
                part("sib").display(),
                part("rr").display(),
                part("rb").display()
            ),
        )
        .unwrap();
        Process::start(self.over_udp(&mut program).arg("enb.conf"), &home)
    }

    fn phone(&self) -> Process {
        let (mut program, home) = self.program("srsue");
        fs::write(
            home.join("ue.conf"),
            format!(
                "[rf]\ndevice_name = zmq\ndevice_args = tx_port=tcp://127.0.0.1:2001,\
                 rx_port=tcp://127.0.0.1:2000,id=ue,{SAMPLES}\n[rat.eutra]\ndl_earfcn = 3350\n\
                 [usim]\nmode = pcsc\nimei = 353490069873319\nreader = {}\npin =\n\
                 [nas]\nforce_imsi_attach = true\n[log]\nall_level = warning\nfilename = stdout\n",
                Reader::FIRST
            ),
        )
        .unwrap();
        Process::start(program.arg("ue.conf"), &home)
    }

    /// Lets a program do without the kernel's SCTP.
    fn over_udp<'a>(&self, program: &'a mut Command) -> &'a mut Command {
        let library = self.folder.path().join("sctp_over_udp.so");
        if !library.exists() {
            let source: &Path = &repository().join("tests/radio/sctp_over_udp.c");
            let mut compiler = Command::new("cc");
            compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
            drop(run(&mut compiler).success());
        }
        program.env("LD_PRELOAD", library)
    }
}
