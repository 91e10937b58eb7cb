//! What is written, beside what reads it.

use clap::ValueEnum;
use saip::builder::Key;
use serde_json::Value;

use super::*;

const K: &str = "465b5ce8b199b49faa5f0a2ee238a6bc";
const OPC: &str = "cd63cb71954a9f4e48a5994e37a02baf";

fn subscriber(imsi: &str, msisdn: Option<&str>) -> Subscriber {
    let key = |digits: &str| digits.parse::<Key>().unwrap();
    Subscriber { msisdn: msisdn.map(str::to_owned), ..Subscriber::new("8988211000000000011", imsi, key(K), key(OPC)) }
}

fn exported(format: Format, subscribers: &[Subscriber], sd: Option<&str>) -> String {
    let entries: Vec<_> = subscribers.iter().map(|subscriber| Entry::of(subscriber).unwrap()).collect();
    let network = Network { sqn: 0x20, amf: "8000", apn: "internet", sst: 1, sd };
    (format.row().write)(&entries, &network).unwrap().to_string()
}

fn one() -> [Subscriber; 1] {
    [subscriber("001010000000001", Some("+491701234"))]
}

#[test]
fn srsepc() {
    let xor = Subscriber { algorithm: Algorithm::Xor, opc: None, ..subscriber("001010000000002", None) };
    let [first] = one();
    assert_eq!(
        exported(Format::Srsepc, &[first, xor], None),
        format!(
            "# Name,Auth,IMSI,Key,OP_Type,OP/OPc,AMF,SQN,QCI,IP_alloc\n\
             ue1,mil,001010000000001,{K},opc,{OPC},8000,000000000020,9,dynamic\n\
             ue2,xor,001010000000002,{K},opc,00000000000000000000000000000000,8000,000000000020,9,dynamic\n"
        )
    );
}

#[test]
fn open5gs() {
    let documents: Value = serde_json::from_str(&exported(Format::Open5gs, &one(), Some("000001"))).unwrap();
    let document = &documents[0];
    assert_eq!(document["imsi"], "001010000000001");
    assert_eq!(document["msisdn"], serde_json::json!(["491701234"]));
    assert_eq!(
        document["security"],
        serde_json::json!({ "k": K, "op": null, "opc": OPC, "amf": "8000", "sqn": { "$numberLong": "32" } })
    );
    assert_eq!((&document["slice"][0]["sst"], &document["slice"][0]["sd"]), (&1.into(), &"000001".into()));
    assert_eq!(
        exported(Format::Open5gsDbctl, &one(), None),
        format!("open5gs-dbctl add_ue_with_apn 001010000000001 {K} {OPC} internet\n")
    );
    assert_eq!(
        exported(Format::Open5gsDbctl, &one(), Some("000001")),
        format!("open5gs-dbctl add_ue_with_slice 001010000000001 {K} {OPC} internet 1 000001\n")
    );
}

#[test]
fn free5gc() {
    let two = [subscriber("001010000000001", None), subscriber("001010000000002", None)];
    let text = exported(Format::Free5gc, &two, None);
    let requests: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1]["path"], "/api/subscriber/imsi-001010000000002/00101");
    let body = &requests[1]["body"];
    assert_eq!((&body["plmnID"], &body["ueId"]), (&"00101".into(), &"imsi-001010000000002".into()));
    let subscription = &body["AuthenticationSubscription"];
    assert_eq!(subscription["permanentKey"]["permanentKeyValue"], K);
    assert_eq!(subscription["opc"]["opcValue"], OPC);
    assert_eq!(subscription["sequenceNumber"], "000000000020");
    assert_eq!(body["SmfSelectionSubscriptionData"]["subscribedSnssaiInfos"]["01"]["dnnInfos"][0]["dnn"], "internet");
}

#[test]
fn osmo_hlr() {
    let number = "subscriber imsi 001010000000001";
    assert_eq!(
        exported(Format::OsmoHlr, &one(), None),
        format!(
            "enable\n{number} create\n{number} update msisdn 491701234\n\
             {number} update aud3g milenage k {K} opc {OPC} ind-bitlen 5\n{number} update network-access-mode cs+ps\n"
        )
    );
    assert_eq!(
        exported(Format::OsmoHlrSql, &one(), None),
        format!(
            ".bail on\nBEGIN;\nINSERT INTO subscriber (imsi, msisdn) VALUES ('001010000000001', '491701234');\n\
             INSERT INTO auc_3g (subscriber_id, algo_id_3g, k, opc, sqn, ind_bitlen) \
             SELECT id, 5, '{K}', '{OPC}', 32, 5 FROM subscriber WHERE imsi = '001010000000001';\nCOMMIT;\n"
        )
    );
}

#[test]
fn pyhss() {
    let script = exported(Format::Pyhss, &one(), None);
    assert!(script.starts_with("#!/bin/sh\n"), "{script}");
    let bodies: Vec<&str> = script.lines().filter(|line| line.starts_with('{')).collect();
    let [apn, keys, subscriber] = bodies[..] else { panic!("{script}") };
    assert_eq!(serde_json::from_str::<Value>(apn).unwrap()["apn"], "internet");
    let keys: Value = serde_json::from_str(keys).unwrap();
    assert_eq!((&keys["ki"], &keys["opc"], &keys["sqn"]), (&K.into(), &OPC.into(), &32.into()));
    let subscriber = subscriber.replace("$auc", "7").replace("$apn", "3");
    let subscriber: Value = serde_json::from_str(&subscriber).unwrap();
    assert_eq!((&subscriber["auc_id"], &subscriber["default_apn"]), (&7.into(), &3.into()));
    assert_eq!((&subscriber["apn_list"], &subscriber["msisdn"]), (&"3".into(), &"491701234".into()));
}

#[test]
fn ueransim() {
    let text = exported(Format::Ueransim, &one(), Some("00000a"));
    for line in [
        "supi: 'imsi-001010000000001'",
        "mcc: '001'",
        "mnc: '01'",
        "protectionScheme: 0",
        &format!("key: '{K}'"),
        &format!("op: '{OPC}'"),
        "opType: 'OPC'",
        "      sd: 0x00000a",
        "  - sst: 1",
    ] {
        assert!(text.lines().any(|own| own == line), "{line}\n{text}");
    }
}

#[test]
fn what_a_reader_cannot_have_is_said() {
    use saip::builder::{HomeNetworkKey, Suci, SuciCalculation};
    let xor = |res_length| Subscriber {
        algorithm: Algorithm::Xor,
        opc: None,
        res_length,
        ..subscriber("001010000000002", None)
    };
    let lacks = |format: Format, subscriber: &Subscriber| (format.row().lacks)(subscriber).is_some();
    assert!(lacks(Format::Srsepc, &xor(Some(4))));
    assert!(!lacks(Format::Srsepc, &xor(Some(8))) && !lacks(Format::Srsepc, &xor(None)));
    let key = |id, profile| HomeNetworkKey { id, profile, key: Key::new(&[1; 32]) };
    let with = |keys: Vec<HomeNetworkKey>| Subscriber {
        suci: Some(Suci { calculation: SuciCalculation::default(), routing_indicator: "0".to_owned(), keys }),
        ..subscriber("001010000000001", None)
    };
    assert!(lacks(Format::Ueransim, &with(vec![key(1, SuciProfile::B)])));
    let both = with(vec![key(1, SuciProfile::B), key(2, SuciProfile::A)]);
    assert!(!lacks(Format::Ueransim, &both) && !lacks(Format::Ueransim, &with(Vec::new())));
    let text = exported(Format::Ueransim, &[both], None);
    assert!(text.contains("protectionScheme: 1\n") && text.contains("homeNetworkPublicKeyId: 2\n"), "{text}");
}

#[test]
fn what_others_read_has_nothing_else_in_it() {
    assert_eq!(apn("ims.mnc001.mcc001.gprs").as_deref(), Ok("ims.mnc001.mcc001.gprs"));
    for wrong in ["", ".", "a..b", "a b", "a'b", "a;b", "a\nb", &"x".repeat(101)] {
        assert!(apn(wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(sqn("0000000000FF"), Ok(255));
    assert!(sqn("ff").is_err() && sqn("+00000000001").is_err() && amf("80").is_err() && sd("00000g").is_err());
    assert!(Format::value_variants().iter().all(|format| !format.row().use_it.is_empty()));
}

/// What a format says that it has a place for is in what it writes, and nothing else is.
#[test]
fn settings_are_written_or_refused() {
    const SQN: u64 = 0x0102_0304_0506;
    let entries = [Entry::of(&one()[0]).unwrap()];
    for format in Format::value_variants() {
        let row = format.row();
        let written =
            |sqn, amf, apn, sst, sd| (row.write)(&entries, &Network { sqn, amf, apn, sst, sd }).unwrap().to_string();
        let plain = written(0, "8000", "internet", 1, None);
        for (setting, other) in [
            (Setting::Sqn, written(SQN, "8000", "internet", 1, None)),
            (Setting::Amf, written(0, "8111", "internet", 1, None)),
            (Setting::Apn, written(0, "8000", "elsewhere", 1, None)),
            (Setting::Sst, written(0, "8000", "internet", 2, None)),
            (Setting::Sd, written(0, "8000", "internet", 1, Some("00000a"))),
        ] {
            assert_eq!(plain != other, row.settings.contains(&setting), "{} {setting:?}", row.name);
        }
    }
}

#[test]
fn what_a_format_has_no_place_for_is_refused() {
    let check = |format: &str, more: &[&str]| {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            arguments: Arguments,
        }
        let line = [&["export", "a.toml", "--format", format], more].concat();
        let arguments = <Line as clap::Parser>::try_parse_from(line).unwrap().arguments;
        arguments.check(arguments.format.row()).map_err(|failure| match failure {
            Failure::Because(text) => text.to_string(),
            Failure::Told(_) => unreachable!(),
        })
    };
    for (format, more, takes) in [
        ("osmo-hlr", ["--sqn", "000000001000"], "none of these options"),
        ("open5gs-dbctl", ["--sqn", "000000001000"], "--apn, --sst, --sd"),
        ("open5gs-dbctl", ["--amf", "8000"], "--apn, --sst, --sd"),
        ("ueransim", ["--sqn", "000000001000"], "--amf, --apn, --sst, --sd"),
        ("srsepc", ["--apn", "internet"], "--sqn, --amf"),
        ("osmo-hlr-sql", ["--sst", "1"], "--sqn"),
        ("pyhss", ["--sd", "000001"], "--sqn, --amf, --apn"),
    ] {
        let told = check(format, &more).unwrap_err();
        let [option, _] = more;
        assert!(told.contains(&format!("has no place for {option}; the format {format} takes {takes}")), "{told}");
        assert_eq!(check(format, &[]), Ok(()));
    }
    assert_eq!(
        check("open5gs", &["--sqn", "000000001000", "--amf", "8000", "--apn", "a", "--sst", "2", "--sd", "00000a"]),
        Ok(())
    );
}
