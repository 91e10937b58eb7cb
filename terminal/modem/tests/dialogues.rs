//! Golden dialogues: what a program writes, what the card is sent for it, what the program gets.
//!
//! `>` is written by the program (CR is added), `<` a line that it gets, `=` a command to the card and its response.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apdu::{Transport, TransportError};
use modem::{Identity, Modem, Port, Quirks};

/// TERMINAL PROFILE of the modem itself.
const PROFILE: &str = "8010000003010080";

/// A card that expects these commands, and tells when it is reset.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<VecDeque<String>>>);

impl Paper {
    fn next(&self) -> String {
        self.0.lock().unwrap().pop_front().unwrap_or_else(|| "nothing".into())
    }
}

impl Transport for Paper {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        match self.next().as_str() {
            "reset" => Ok(self.atr().to_vec()),
            "pulled" => Err(TransportError::CardRemoved),
            other => panic!("a reset comes, expected is {other}"),
        }
    }

    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        panic!("a modem has none")
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let command = hex::encode_upper(command);
        // After each reset; TERMINAL PROFILE of a program is another one.
        let is_expected = self.0.lock().unwrap().front().is_some_and(|step| step.starts_with(PROFILE));
        if command == PROFILE && !is_expected {
            return Ok(vec![0x90, 0x00]);
        }
        let step = self.next();
        let (expected, response) = step.split_once(' ').unwrap_or((&step, ""));
        assert_eq!(command, expected, "expected is {step}");
        match response {
            "pulled" => Err(TransportError::CardRemoved),
            "mute" => Err(TransportError::Mute),
            "shared" => Err(TransportError::CardReset),
            _ => Ok(hex::decode(response).unwrap()),
        }
    }

    fn atr(&self) -> &[u8] {
        &[0x3B, 0x9F]
    }
}

fn modem(card: &Paper, quirks: Quirks) -> Modem {
    let identity = Identity {
        manufacturer: "maker".into(),
        model: "model".into(),
        revision: "1".into(),
        imei: "490154203237518".into(),
    };
    Modem::new(Box::new(card.clone()), identity, quirks)
}

/// Plays a dialogue after `ATE0`; seconds pass before a line `> 5s AT…`.
fn play(quirks: Quirks, dialogue: &str) {
    let card = Paper::default();
    let (mut modem, mut port) = (modem(&card, quirks), Port::new());
    let mut now = Duration::ZERO;
    modem.receive(&mut port, b"ATE0\r", Duration::from_hours(1));
    let mut got: VecDeque<String> = VecDeque::new();
    let lines: Vec<_> = dialogue.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    for (number, line) in lines.iter().enumerate() {
        let (kind, text) = line.split_at(1);
        let text = text.trim_start();
        match kind {
            ">" => {
                assert!(got.is_empty(), "not expected before {line}: {got:?}");
                let commands = lines.iter().skip(number + 1).take_while(|line| !line.starts_with('>'));
                let steps = commands.filter_map(|line| line.strip_prefix('=')).map(|step| step.trim().to_owned());
                *card.0.lock().unwrap() = steps.collect();
                let text = match text.split_once("s ") {
                    Some((seconds, rest)) if seconds.parse::<u64>().is_ok() => {
                        now = Duration::from_secs(seconds.parse().unwrap());
                        rest
                    }
                    _ => text,
                };
                let answers = modem.receive(&mut port, format!("{text}\r").as_bytes(), now);
                assert!(answers.len() <= 1, "one write for each answer: {answers:?}");
                let answer = String::from_utf8(answers.concat()).unwrap();
                got = answer.split("\r\n").filter(|line| !line.is_empty()).map(str::to_owned).collect();
                let left = card.0.lock().unwrap();
                assert!(left.is_empty(), "{line}: the card was not sent {left:?}");
            }
            "<" => assert_eq!(got.pop_front().as_deref(), Some(text), "{line}"),
            "=" => {}
            _ => panic!("{line}"),
        }
    }
    assert!(got.is_empty(), "not expected at the end: {got:?}");
}

fn plays(dialogue: &str) {
    play(Quirks::default(), dialogue);
}

#[test]
fn sessions_as_lpac_has_them() {
    plays(
        "> AT
         < OK
         > AT+CCHO=?
         < OK
         > AT+CCHO=\"a0000005591010ffffffff8900000100\"
         = 0070000001 019000
         = 01A4040010A0000005591010FFFFFFFF890000010000 6F009000
         < +CCHO: 1
         < OK
         > AT+CGLA=1,22,\"81e2910006bf3e035c015a\"
         = 81E2910006BF3E035C015A 6115
         < +CGLA: 4,\"6115\"
         < OK
         > AT+CGLA=1,10,\"81c0000015\"
         = 81C0000015 BF3E009000
         < +CGLA: 10,\"BF3E009000\"
         < OK
         > AT+CGLA=1,10,\"80c0000015\"
         = 81C0000015 9000
         < +CGLA: 4,\"9000\"
         < OK
         > AT+CCHC=1
         = 00708001 9000
         < OK
         > AT+CCHC=1
         < ERROR
         > AT+CGLA=1,10,\"80c0000015\"
         < ERROR",
    );
}

#[test]
fn sessions_that_cannot_be_opened_leave_no_channel() {
    plays(
        "> AT+CMEE=1
         < OK
         > AT+CCHO=\"A0000000FF\"
         = 0070000001 019000
         = 01A4040005A0000000FF00 6A82
         = 00708001 9000
         < +CME ERROR: 22
         > AT+CCHO=\"A0000000FF\"
         = 0070000001 6A81
         < +CME ERROR: 20
         > AT+CCHO=\"A0\"
         < +CME ERROR: 50
         > AT+CCHO=\"xyz\"
         < +CME ERROR: 50
         > AT+CCHO
         < ERROR",
    );
}

#[test]
fn generic_access_carries_what_it_gets() {
    plays(
        "> AT+CSIM=?
         < OK
         > AT+CSIM=14,\"00A40004023F00\"
         = 00A40004023F00 6122
         < +CSIM: 4,\"6122\"
         < OK
         > AT+CSIM=10,00c0000002
         = 00C0000002 6C01
         < +CSIM: 4,\"6C01\"
         < OK
         > AT+CMEE=2
         < OK
         > AT+CSIM=7,\"00A40004023F00\"
         < +CME ERROR: incorrect parameters
         > AT+CSIM=4,\"00A4\"
         < +CME ERROR: incorrect parameters
         > AT+CSIM=14,\"00A40004023F0\"
         < +CME ERROR: incorrect parameters
         > AT+CSIM=10,\"0070000001\"
         = 0070000001 mute
         < +CME ERROR: SIM failure",
    );
}

/// A file that is not there: nothing is read from the one before.
#[test]
fn files_are_read_only_if_they_were_selected() {
    plays(
        "> AT+CRSM=176,12258,0,0,10
         = 00A40804022FE200 62009000
         = 00B000000A 981022334455667788F99000
         < +CRSM: 144,0,\"981022334455667788F9\"
         < OK
         > AT+CRSM=178,28480,1,4,28
         = 00A4040407A000000087100200 62009000
         = 00A40804047FFF6F4000 6A82
         = 00A40804047F106F4000 6A82
         < +CRSM: 106,130
         < OK
         > AT+CRSM=192,28589,0,0,255,,\"7FFF\"
         = 00A4040407A000000087100200 62009000
         = 00A40804047FFF6FAD00 6203820101 9000
         < +CRSM: 144,0,\"6203820101\"
         < OK"
            .replace("6203820101 9000", "62038201019000")
            .as_str(),
    );
    plays(
        "> AT+CRSM=214,28433,0,0,1,\"FF\",\"3F007F10\"
         = 00A40804047F106F1100 9000
         = 00D6000001FF 6982
         < +CRSM: 105,130
         < OK
         > AT+CRSM=242,0,0,0,0
         = 80F2000000 62009000
         < +CRSM: 144,0,\"6200\"
         < OK
         > AT+CRSM=242,,0,0,0
         = 80F2000000 62009000
         < +CRSM: 144,0,\"6200\"
         < OK
         > AT+CMEE=1
         < OK
         > AT+CRSM=1,28433
         < +CME ERROR: 4
         > AT+CRSM=214,28433,0,0,2,\"FF\"
         < +CME ERROR: 50
         > AT+CRSM=176
         < +CME ERROR: 50
         > AT+CRSM=176,28433,256
         < +CME ERROR: 50",
    );
}

#[test]
fn files_of_a_session_are_read_on_its_channel() {
    plays(
        "> AT+CCHO=A0000000871004
         = 0070000001 029000
         = 02A4040007A000000087100400 9000
         < +CCHO: 2
         < OK
         > AT+CRLA=2,176,28418,0,0,16,,\"7FFF\",
         = 02A40804047FFF6F0200 62009000
         = 02B0000010 AA9000
         < +CRLA: 144,0,\"AA\"
         < OK
         > AT+CRLA=2,176,28418,0,0,16,,
         = 02A40804047FFF6F0200 6A82
         < +CRLA: 106,130
         < OK
         > AT+CRLA=3,176,28418
         < ERROR",
    );
}

const WITH_PIN: &str = "620BC609900180830101 83010A9000";

#[test]
fn pins() {
    let fcp = WITH_PIN.replace(' ', "");
    let dialogue = "> AT+CMEE=1
         < OK
         > AT+CPIN?
         = 00A40004023F0000 FCP
         = 00200001 63C3
         = 002C0001 63CA
         < +CPIN: SIM PIN
         < OK
         > AT+CPIN=\"1111\"
         = 00A40004023F0000 FCP
         = 00200001 63C3
         = 002C0001 63CA
         = 002000010831313131FFFFFFFF 63C2
         < +CME ERROR: 16
         > AT+CPIN=1234
         = 00A40004023F0000 FCP
         = 00200001 63C2
         = 002C0001 63CA
         = 002000010831323334FFFFFFFF 9000
         < OK
         > AT+CPIN?
         = 00A40004023F0000 FCP
         < +CPIN: READY
         < OK
         > AT+CPIN=1234
         = 00A40004023F0000 FCP
         < +CME ERROR: 3
         > AT+CLCK=\"SC\",2
         = 00A40004023F0000 FCP
         < +CLCK: 1
         < OK
         > AT+CPWD=\"SC\",\"1234\",\"4321\"
         = 00240001103132333 4FFFFFFFF34333231FFFFFFFF 9000
         < OK
         > AT+CLCK=\"SC\",0,\"4321\"
         = 00A40004023F0000 FCP
         = 002600010834333231FFFFFFFF 9000
         < OK
         > AT+CLCK=\"PN\",2
         < +CLCK: 0
         < OK
         > AT+CLCK=\"XX\",2
         < +CME ERROR: 4
         > AT+CLCK=\"FD\",1
         < +CME ERROR: 50
         > AT+CLCK=\"FD\",1,\"1234\"
         = 00A4040407A000000087100200 9000
         = 00A40804047FFF6F5600 6A82
         < +CME ERROR: 4
         > AT+CLCK=\"FD\",1,\"1234\"
         = 00A4040407A000000087100200 9000
         = 00A40804047FFF6F5600 9000
         = 00B0000001 029000
         = 00A4040407A000000087100200 9000
         = 002000810831323334FFFFFFFF 63C2
         < +CME ERROR: 16
         > AT+CLCK=\"FD\",1,\"1234\"
         = 00A4040407A000000087100200 9000
         = 00A40804047FFF6F5600 9000
         = 00B0000001 029000
         = 00A4040407A000000087100200 9000
         = 002000810831323334FFFFFFFF 9000
         = 00A4040407A000000087100200 9000
         = 00A40804047FFF6F5600 9000
         = 00D600000103 9000
         < OK
         > AT+CLCK=\"FD\",0,\"1234\"
         = 00A4040407A000000087100200 9000
         = 00A40804047FFF6F5600 9000
         = 00B0000001 039000
         = 00A4040407A000000087100200 9000
         = 002000810831323334FFFFFFFF 9000
         = 00A4040407A000000087100200 9000
         = 00A40804047FFF6F5600 9000
         = 00D600000102 9000
         < OK
         > AT+CPIN=12
         = 00A40004023F0000 FCP
         < +CME ERROR: 3";
    plays(&dialogue.replace("FCP", &fcp).replace("103132333 4F", "1031323334F"));
}

#[test]
fn a_blocked_pin_is_unblocked() {
    let dialogue = "> AT+CPIN?
         = 00A40004023F0000 FCP
         = 00200001 63C0
         = 002C0001 63CA
         < +CPIN: SIM PUK
         < OK
         > AT+CMEE=1
         < OK
         > AT+CPIN=1234
         = 00A40004023F0000 FCP
         = 00200001 6983
         = 002C0001 63CA
         < +CME ERROR: 12
         > AT+CPIN=\"12345678\",\"1234\"
         = 00A40004023F0000 FCP
         = 00200001 6983
         = 002C0001 63CA
         = 002C000110313233343536373831323334FFFFFFFF 9000
         < OK
         > AT+CPIN?
         = 00A40004023F0000 FCP
         < +CPIN: READY
         < OK
         > AT+CPINR
         = 00A4040407A000000087100200 9000
         = 00200001 63C3
         = 002C0001 63CA
         = 00200081 6A88
         = 002C0081 6A88
         < +CPINR: SIM PIN,3
         < +CPINR: SIM PUK,10
         < OK
         > AT+CPINR=\"SIM PUK\"
         = 00A4040407A000000087100200 9000
         = 002C0001 63CA
         < +CPINR: SIM PUK,10
         < OK
         > AT+CPINR=\"SIM PIN*\"
         = 00A4040407A000000087100200 9000
         = 00200001 63C3
         = 00200081 63C2
         < +CPINR: SIM PIN,3
         < +CPINR: SIM PIN2,2
         < OK
         > AT+CPINR=\"SIM\"
         = 00A4040407A000000087100200 9000
         < OK";
    plays(&dialogue.replace("FCP", &WITH_PIN.replace(' ', "")));
}

#[test]
fn the_subscriber() {
    plays(
        "> AT+CIMI
         = 00A4040407A000000087100200 9000
         = 00A40804047FFF6F0700 9000
         = 00B0000009 0809100000000000109000
         < 001000000000001
         < OK
         > AT+CCID
         = 00A40804022FE200 9000
         = 00B000000A 981022334455667788F99000
         < +CCID: 8901223344556677889
         < OK
         > AT^ICCID?
         = 00A40804022FE200 9000
         = 00B000000A 981022334455667788F99000
         < ^ICCID: 8901223344556677889
         < OK
         > AT+CNUM
         = 00A4040407A000000087100200 9000
         = 00A40804047FFF6F4000 620782054221001201 9000
         = 00B2010412 6F6B FFFF 07 91 947101325476 FFFFFFFFFFFF 9000
         < +CNUM: \"ok\",\"+491710234567\",145
         < OK
         > AT+CATR
         < +CATR: 3B9F
         < OK
         > AT+CEID
         = 0070000001 019000
         = 01A4040010A0000005591010FFFFFFFF890000010000 9000
         = 81E2910006BF3E035C015A00 BF3E125A10890490320000000000000000000000019000
         = 00708001 9000
         < +CEID: 89049032000000000000000000000001
         < OK
         > AT+CUAD
         = 00A40804022F0000 620782054221000A029000
         = 00B201040A 61074F05A000000087FF9000
         = 00B202040A FFFFFFFFFFFFFFFFFFFF9000
         < +CUAD: 61074F05A000000087
         < OK"
            .lines()
            .map(|line| match line.trim().strip_prefix("= ").and_then(|step| step.split_once(' ')) {
                Some((command, response)) => format!("= {command} {}\n", response.replace(' ', "")),
                None => format!("{line}\n"),
            })
            .collect::<String>()
            .as_str(),
    );
}

#[test]
fn before_the_pin_nothing_is_told_of_the_subscriber() {
    plays(
        "> AT+CMEE=1
         < OK
         > AT+CIMI
         = 00A4040407A000000087100200 9000
         = 00A40804047FFF6F0700 9000
         = 00B0000009 6982
         < +CME ERROR: 11",
    );
}

#[test]
fn power() {
    plays(
        "> AT+CMEE=1
         < OK
         > AT+CCHO=A0000000871002
         = 0070000001 019000
         = 01A4040007A000000087100200 9000
         < +CCHO: 1
         < OK
         > AT+CFUN=0
         < OK
         > AT+CIMI
         < +CME ERROR: 10
         > AT+CFUN?
         < +CFUN: 0
         < OK
         > AT+CFUN=1
         = reset
         < OK
         > AT+CGLA=1,10,\"80C0000000\"
         < +CME ERROR: 50
         > AT+CFUN=4
         < OK
         > AT+CATR
         < +CATR: 3B9F
         < OK
         > AT+CFUN=5
         < +CME ERROR: 4
         > AT+CFUN=?
         < +CFUN: (0,1,4),(0,1)
         < OK",
    );
}

#[test]
fn a_card_that_is_pulled_may_come_back() {
    plays(
        "> AT+CMEE=1
         < OK
         > AT+CSIM=10,\"0070000001\"
         = 0070000001 pulled
         < +CME ERROR: 10
         > AT+CSIM=10,\"0070000001\"
         = pulled
         < +CME ERROR: 10
         > AT+CSIM=10,\"0070000001\"
         = reset
         = 0070000001 019000
         < +CSIM: 6,\"019000\"
         < OK",
    );
}

/// A card in a reader that others use too: it hears again what this terminal does, once.
#[test]
fn a_card_that_others_have_reset_hears_of_the_terminal() {
    plays(
        "> AT+CSIM=10,\"0070000001\"
         = 0070000001 shared
         < ERROR
         > AT+CSIM=10,\"0070000001\"
         = 8010000003010080 9000
         = 0070000001 019000
         < +CSIM: 6,\"019000\"
         < OK
         > AT+CSIM=10,\"0070000001\"
         = 0070000001 029000
         < +CSIM: 6,\"029000\"
         < OK",
    );
}

#[test]
fn lines_of_several_commands_end_at_the_first_error() {
    plays(
        "> AT+CMEE=1;+CGMI;+GCAP
         < maker
         < +GCAP: +CGSM
         < OK
         > ATI
         < maker
         < model
         < 1
         < OK
         > AT+CGMM;+NOTHING;+CGMI
         < model
         < ERROR
         > ATQ0 V1 E0 S0=0 &C1 &D2 +FCLASS=0
         < OK
         > ATS3?S4?
         < 013
         < 010
         < OK
         > AT+CGSN;+CGSN=1
         < 490154203237518
         < +CGSN: \"490154203237518\"
         < OK
         > ATD*99#
         < NO CARRIER
         > ATZ
         < OK",
    );
}

/// The program has its answer first; then the card gets its reset, and sessions are gone.
#[test]
fn a_refresh_is_the_modems_own_work() {
    plays(
        "> AT+CCHO=A0000005591010
         = 0070000001 019000
         = 01A4040007A000000559101000 9000
         < +CCHO: 1
         < OK
         > AT+CGLA=1,10,\"81C0000003\"
         = 81C0000003 BF3100910B
         = 801200000B D0098103010104820281829000
         = 801400000C810301010482028281830100 9000
         = reset
         < +CGLA: 10,\"BF3100910B\"
         < OK
         > AT+CCHC=1
         < ERROR
         > AT+CSIM=10,\"80F2000000\"
         = 80F2000000 910B
         = 801200000B D0098103012100820281829000
         = 801400000C810301210082028281830130 910B
         = 801200000B D0098103010100820281829000
         = 801400000C810301010082028281830100 9000
         < +CSIM: 4,\"910B\"
         < OK
         > AT+CSIM=16,\"80100000010F\"
         < ERROR
         > AT+CSIM=12,\"80100000010F\"
         = 80100000010F 910B
         < +CSIM: 4,\"910B\"
         < OK
         > AT+CSIM=10,\"801200000B\"
         = 801200000B D0098103010100820281829000
         < +CSIM: 26,\"D0098103010100820281829000\"
         < OK",
    );
}

const SELECT_SMS: &str = "= 00A4040407A000000087100200 9000
         = 00A40804047FFF6F3C00 6207820542210028029000";

/// Records of 40 octets: a message that was not read, one that is to be sent.
#[test]
fn messages_of_the_card() {
    let dialogue = "> AT+CMEE=1
         < OK
         > AT+CPMS?
         SELECT
         = 00B2010428 FIRST9000
         = 00B2020428 EMPTY9000
         < +CPMS: \"SM\",1,2,\"SM\",1,2,\"SM\",1,2
         < OK
         > AT+CPMS=\"SM\",\"SM\"
         SELECT
         = 00B2010428 FIRST9000
         = 00B2020428 EMPTY9000
         < +CPMS: 1,2,1,2,1,2
         < OK
         > AT+CPMS=\"ME\"
         < +CMS ERROR: 303
         > AT+CMGL=4
         SELECT
         = 00B2010428 FIRST9000
         = 00DC010428READ 9000
         = 00B2020428 EMPTY9000
         < +CMGL: 1,0,,23
         < 07915155000000F0040B917238880900F100009930925161958004E8329B0D
         < OK
         > AT+CMGR=1
         SELECT
         = 00B2010428 READ9000
         < +CMGR: 1,,23
         < 07915155000000F0040B917238880900F100009930925161958004E8329B0D
         < OK
         > AT+CMGL=?
         < +CMGL: (0,1,2,3,4)
         < OK
         > AT+CMGD=?
         SELECT
         < +CMGD: (1-2),(0-4)
         < OK
         > AT+CMGF=1
         < OK
         > AT+CMGL=?
         < +CMGL: (\"REC UNREAD\",\"REC READ\",\"STO UNSENT\",\"STO SENT\",\"ALL\")
         < OK
         > AT+CMGL=\"STO SENT\"
         SELECT
         = 00B2010428 SENT9000
         = 00B2020428 EMPTY9000
         < +CMGL: 1,\"STO SENT\",\"12345\",,
         < hell
         < OK
         > AT+CMGR=1
         SELECT
         = 00B2010428 SENT9000
         < +CMGR: \"STO SENT\",\"12345\",
         < hell
         < OK
         > AT+CMGR=1
         SELECT
         = 00B2010428 READ9000
         < +CMGR: \"REC READ\",\"+27838890001\",,\"99/03/29,15:16:59+08\"
         < hell
         < OK
         > AT+CMGL=\"REC UNREAD\"
         SELECT
         = 00B2010428 READ9000
         = 00B2020428 EMPTY9000
         < OK
         > AT+CMGL=4
         < +CMS ERROR: 305
         > AT+CMGR=2
         SELECT
         = 00B2020428 EMPTY9000
         < OK
         > AT+CMGR=3
         SELECT
         < +CMS ERROR: 321
         > AT+CMGD=1
         SELECT
         = 00DC010428EMPTY 9000
         < OK
         > AT+CMGD=1,4
         SELECT
         = 00B2010428 READ9000
         = 00DC010428EMPTY 9000
         = 00B2020428 EMPTY9000
         < OK
         > AT+CMGD=0
         SELECT
         < +CMS ERROR: 321";
    let message = "07915155000000F0040B917238880900F100009930925161958004E8329B0D";
    let record = |status: &str, body: &str| format!("{status}{body:F<78}");
    let dialogue = dialogue
        .replace("SELECT", SELECT_SMS)
        .replace("FIRST", &record("03", message))
        .replace("SENT9000", &(record("05", "00010005812143F5000004E8329B0D") + "9000"))
        .replace("READ9000", &(record("01", message) + "9000"))
        .replace("428READ", &("428".to_owned() + &record("01", message)))
        .replace("EMPTY", &record("00", ""));
    plays(&dialogue);
}

#[test]
fn the_service_centre_of_the_card() {
    let dialogue = "> AT+CSCA?
         = 00A4040407A000000087100200 9000
         = 00A40804047FFF6F4200 620782054221001C019000
         = 00B201041C EMPTY9000
         < +CSCA: \"\",129
         < OK
         > AT+CSCA=\"+15550000000\",145
         = 00A4040407A000000087100200 9000
         = 00A40804047FFF6F4200 620782054221001C019000
         = 00B201041C EMPTY9000
         = 00DC01041CWRITTEN 9000
         < OK
         > AT+CSCA?
         = 00A4040407A000000087100200 9000
         = 00A40804047FFF6F4200 620782054221001C019000
         = 00B201041C WRITTEN9000
         < +CSCA: \"+15550000000\",145
         < OK
         > AT+CSCA=\"nobody\"
         = 00A4040407A000000087100200 9000
         = 00A40804047FFF6F4200 620782054221001C019000
         = 00B201041C EMPTY9000
         < ERROR";
    let written = format!("FD{}07915155000000F0{}", "FF".repeat(12), "FF".repeat(7));
    plays(&dialogue.replace("EMPTY", &"FF".repeat(28)).replace("WRITTEN", &written));
}

#[test]
fn quirks_of_modems_in_the_field() {
    const OPEN: &str = "= 0070000001 019000
        = 01A4040005A00000000100 9000\n";
    for (name, dialogue) in [
        ("fibocom-fm350", format!("> AT+CCHO=A000000001\n{OPEN}< 1\n< OK")),
        (
            "sierra-mc7455",
            format!("> AT+CCHO=A000000001\n{OPEN}< +CCHO: 00000000038aa32f\n< OK\n> AT+CCHC=00000000038AA32F\n= 00708001 9000\n< OK"),
        ),
        ("sierra-em7590", "> AT+CGLA=?\n< ERROR\n> AT+CCHO=?\n< OK".into()),
        ("fibocom-fg132", "> AT+CGLA=?\n< ERROR\n> AT+CCHO=?\n< ERROR\n> AT+CSIM=?\n< OK".into()),
        (
            "simcom-a7908",
            format!("> AT+CCHO=A000000001\n{OPEN}< +CCHO: 1\n< OK\n> AT+CGLA=1,10,\"81C0000000\"\n= 81C0000000 9000\n< +CGLA:4,\"9000\"\n< OK"),
        ),
        ("dell-dw5821e", "> AT+CCHO=A000000001\n< ERROR\n> AT+CCHO=?\n< ERROR".into()),
        ("sierra-em9191", "> AT+CCHC=1\n< ERROR\n> AT+CSIM=1\n< +CME ERROR: Parameters error".into()),
        ("cchc-echo", format!("> AT+CCHO=A000000001\n{OPEN}< +CCHO: 1\n< OK\n> AT+CCHC=1\n= 00708001 9000\n< +CCHC\n< OK")),
        ("ccho-cme13", "> AT+CMEE=1\n< OK\n> AT+CCHO=A000000001\n< +CME ERROR: 13".into()),
        ("clck-sim-failure", "> AT+CMEE=1\n< OK\n> AT+CLCK=\"SC\",2\n< +CME ERROR: 13".into()),
        ("command-not-support", "> AT+MODE=2\n< COMMAND NOT SUPPORT".into()),
        ("always-error", "> AT+CMEE=1\n< OK\n> AT+CSIM=1\n< ERROR".into()),
        ("eg95-csim-ch1", "> AT+CMEE=1\n< OK\n> AT+CSIM=10,\"01A4040000\"\n< +CME ERROR: 0\n> AT+CSIM=10,\"00A4040000\"\n= 00A4040000 9000\n< +CSIM: 4,\"9000\"\n< OK".into()),
        ("modem-gets-response", "> AT+CSIM=10,\"00A4040000\"\n= 00A4040000 6102\n= 00C0000002 AABB9000\n< +CSIM: 8,\"AABB9000\"\n< OK".into()),
        ("qccid-trailing-f", "> AT+QCCID\n= 00A40804022FE200 9000\n= 00B000000A 981022334455667788F99000\n< +QCCID: 8901223344556677889F\n< OK".into()),
        ("sim800-ccid-bare", "> AT+CCID\n= 00A40804022FE200 9000\n= 00B000000A 981022334455667788F99000\n< 8901223344556677889\n< OK".into()),
        ("a7-cpin-nospace", "> AT+CPIN?\n= 00A40004023F0000 620BC609900100830101830 10A9000\n< +CPIN:READY\n< OK".replace("830 10A", "83010A")),
        ("line-limit-127", format!("> AT+CSIM=200,\"{}\"\n< ERROR\n> AT\n< OK", "0".repeat(200))),
        ("sim-busy-10s", "> AT+CMEE=1\n< OK\n> 9s AT+CPIN?\n< +CME ERROR: 14\n> 10s AT+CATR\n< +CATR: 3B9F\n< OK".into()),
        ("cpin-silent-boot", "> AT\n> 4s AT+CPIN?\n> 5s AT\n< OK".into()),
    ] {
        let quirks = Quirks::named(name).unwrap_or_else(|| panic!("{name}"));
        play(quirks, &dialogue);
    }
    assert_eq!(Quirks::names().count(), 22, "each has its line here");
}

/// Echo and answer in one piece, several lines in one piece: an answer for each.
#[test]
fn what_is_written_comes_back_once_and_whole() {
    let card = Paper::default();
    let (mut modem, mut port) = (modem(&card, Quirks::default()), Port::new());
    let mut receive = |octets: &[u8]| -> Vec<String> {
        let answers = modem.receive(&mut port, octets, Duration::ZERO);
        answers.into_iter().map(|answer| String::from_utf8(answer).unwrap()).collect()
    };
    assert_eq!(receive(b"A"), ["A"]);
    assert_eq!(receive(b"T\r\n"), ["T\r\r\nOK\r\n"]);
    assert_eq!(receive(b"ATE0\rATV0\rAT+NOTHING\r"), ["ATE0\r\r\nOK\r\n", "0\r", "4\r"]);
    assert_eq!(receive(b"ATQ1\rAT\rATQ0V1\rA/"), ["\r\nOK\r\n", "\r\nOK\r\n"]);
    assert_eq!(receive(b"\x1b\r"), Vec::<String>::new());
    *card.0.lock().unwrap() = vec!["reset".to_owned()].into();
    assert_eq!(receive(b"AT+CFUN=1,1\rAT\r"), ["\r\nOK\r\n", "AT\r\r\nOK\r\n"], "it starts with echo");
}

/// What a web browser sends to a socket: not one command of it is run, and nothing is answered.
#[test]
fn a_browser_is_sent_away() {
    let posted =
        "POST / HTTP/1.1\r\nHost: 127.0.0.1:12345\r\nContent-Length: 28\r\n\r\nAT+CSIM=10,\"00A4000000\"\rA/\r\n";
    let hello = "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03\rAT+CSIM=10,\"00A4000000\"\r";
    let long = format!("GET /{} HTTP/1.1\r\nAT+CSIM=10,\"00A4000000\"\r", "AT".repeat(5_000));
    for (sent, answered) in [
        (posted, ""),
        (&posted.replace('\r', ""), ""),
        (&posted.replace("POST /", "CONNECT AT+CSIM:10"), ""),
        (hello, ""),
        (&long, ""),
        ("ATE0\r\nGET / HTTP/1.1\r\n\r\nAT+CSIM=10,\"00A4000000\"\r", "ATE0\r\r\nOK\r\n"),
    ] {
        let card = Paper::default();
        let (mut modem, mut port) = (modem(&card, Quirks::default()), Port::of_socket());
        let answers = modem.receive(&mut port, sent.as_bytes(), Duration::ZERO).concat();
        assert_eq!(String::from_utf8(answers).unwrap(), answered, "{sent:?}");
        assert!(port.is_foreign(), "{sent:?}");
        assert_eq!(modem.receive(&mut port, b"\rATI\r", Duration::ZERO), Vec::<Vec<u8>>::new(), "{sent:?}");
    }
}

/// What no browser sends is noise at a socket as on a line.
#[test]
fn noise_at_a_socket_is_ignored() {
    for port in [Port::new, Port::of_socket] {
        let card = Paper::default();
        let (mut modem, mut port) = (modem(&card, Quirks::default()), port());
        modem.receive(&mut port, b"\r\n\x1b\r\0 atE0\r", Duration::ZERO);
        let padded = "x".repeat(300);
        for noise in
            [&b"FOO\r"[..], b"\xff\r", b"~\x0c\x14:~\r", b"\x16\x03\x01\r", b"A\r", b"x y / ", padded.as_bytes()]
        {
            let answers = modem.receive(&mut port, &[noise, b"AT\r"].concat(), Duration::ZERO);
            assert_eq!(answers, [b"\r\nOK\r\n"], "{noise:02X?}");
        }
    }
}

/// Numbers without a pattern, the same in each run.
struct Noise(u32);

impl Noise {
    /// The next number of those below `end`.
    fn next(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        usize::try_from(self.0).unwrap() % end
    }
}

/// A card that answers at random, and how often it was asked.
#[derive(Clone)]
struct NoisyCard(Arc<Mutex<(Noise, usize)>>);

impl Transport for NoisyCard {
    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        Ok(self.atr().to_vec())
    }

    fn warm_reset(&mut self) -> Result<Vec<u8>, TransportError> {
        self.reset()
    }

    fn transmit(&mut self, _: &[u8]) -> Result<Vec<u8>, TransportError> {
        let (noise, asked) = &mut *self.0.lock().unwrap();
        *asked += 1;
        let begin: &[&str] = &["", "", "01", "62", "620782054221001C0A", "620782054221002802", "D00981030101", "0809"];
        let statuses: &[&str] = &["9000", "9000", "9000", "6A82", "6982", "6983", "63C3", "6110", "9110", "6C01", "6F"];
        let mut response = hex::decode(begin[noise.next(begin.len())]).unwrap();
        let length = noise.next(30);
        response.extend((0..length).map(|_| u8::try_from(noise.next(256)).unwrap()));
        response.extend(hex::decode(statuses[noise.next(statuses.len())]).unwrap());
        Ok(response)
    }

    fn atr(&self) -> &[u8] {
        &[0x3B, 0x9F]
    }
}

/// Whatever comes, the next command is answered.
#[test]
fn garbage_is_survived() {
    let card = NoisyCard(Arc::new(Mutex::new((Noise(0x9E37_79B9), 0))));
    let identity =
        Identity { manufacturer: String::new(), model: String::new(), revision: String::new(), imei: String::new() };
    let (mut modem, mut port) = (Modem::new(Box::new(card.clone()), identity, Quirks::default()), Port::new());
    let all = modem.receive(&mut port, b"ATE0\rAT+CLAC\r", Duration::ZERO).concat();
    let all = String::from_utf8(all).unwrap();
    // With these the line would end otherwise.
    let is_kept = |name: &&str| !["S3", "S4", "S5"].contains(name);
    let names: Vec<_> = all.lines().filter_map(|line| line.strip_prefix("AT")).filter(is_kept).collect();
    assert!(names.len() > 60, "{all}");
    let values = [
        "0",
        "1",
        "4",
        "10",
        "176",
        "28476",
        "\"00A40000\"",
        "\"1234\"",
        "\"SC\"",
        "\"SM\"",
        "A0000005591010",
        "\"7FFF\"",
        "",
    ];
    let marks = ["=", "?", ",", "\"", ";", "\r", "\rAT", "AT", "A/", "\u{fffd}", "\x1a", "\x08", "\0", "~", " ", "d"];
    let mut noise = Noise(0x2545_F491);
    for round in 0..10_000 {
        let mut line = "AT".to_owned();
        for _ in 0..=noise.next(3) {
            line += names[noise.next(names.len())];
            line += ["", "?", "=?", "="][noise.next(4)];
            if line.ends_with('=') {
                let count = noise.next(6);
                let values: Vec<_> = (0..count).map(|_| values[noise.next(values.len())]).collect();
                line += &values.join(",");
            }
            line += [";", ";", "\rAT", ""][noise.next(4)];
        }
        let mut octets = (line + "\r").into_bytes();
        for _ in 0..noise.next(3) {
            let at = noise.next(octets.len());
            octets.splice(at..at, marks[noise.next(marks.len())].bytes());
        }
        modem.receive(&mut port, &octets, Duration::ZERO);
        let answers = modem.receive(&mut port, b"\x1b\rATE0V1Q0+CFUN=1\r", Duration::ZERO).concat();
        assert!(answers.ends_with(b"\r\nOK\r\n"), "{round}, {:?}: {answers:02X?}", octets.escape_ascii().to_string());
    }
    let asked = card.0.lock().unwrap().1;
    assert!(asked > 1_000, "commands are found and run: {asked}");
}
