//! Pieces that are none, at every place of a package. SGP.22 §2.5.5, §5.7.6; SGP.23 4.2.3 to 4.2.7.
//!
//! SGP.22 says that the eUICC returns an installation result when an error occurs in one of the segments, and leaves open
//! whether that holds for a segment whose tag is none of the package's. Here it does: the session has begun, only a
//! result tells the SM-DP+ that the download is over, and an LPA that went on sending would send it into nothing. What
//! begins with the tag of another ES10 function is that function, not a segment.

use super::*;
use BppCommandId as Command;
use ErrorReason as Reason;

/// Where each piece is, and how a fault in it is reported.
fn places() -> Vec<(usize, Command, Reason)> {
    let metadata_segments = contents().metadata.len().div_ceil(40);
    let mut places = vec![
        (0, Command::INITIALISE_SECURE_CHANNEL, Reason::INCORRECT_INPUT_VALUES),
        (1, Command::CONFIGURE_ISDP, Reason::SCP03T_STRUCTURE_ERROR),
        (2, Command::STORE_METADATA, Reason::SCP03T_STRUCTURE_ERROR),
        (3, Command::STORE_METADATA, Reason::SCP03T_STRUCTURE_ERROR),
        (4, Command::STORE_METADATA2, Reason::SCP03T_STRUCTURE_ERROR),
        (2 + metadata_segments, Command::STORE_METADATA2, Reason::SCP03T_STRUCTURE_ERROR),
    ];
    // ReplaceSessionKeys may be missing: what stands in its place is no profile.
    for piece in 3..=6 {
        places.push((piece + metadata_segments, Command::LOAD_PROFILE_ELEMENTS, Reason::SCP03T_STRUCTURE_ERROR));
    }
    places
}

/// The session is over: nothing of it is taken any more.
fn is_over(device: &mut Device, server: &Server<'_>, rest: &[Vec<u8>]) {
    for piece in rest.iter().take(2) {
        assert_eq!(device.try_es10(piece), (vec![], [0x69, 0x85]));
    }
    let cancel = rsp::es10b::CancelSessionRequest {
        transaction_id: server.transaction_id.clone(),
        reason: rsp::es10b::CancelSessionReason::LOAD_BPP_EXECUTION_ERROR,
    };
    assert_eq!(device.es10(&rsp::encode(&cancel).unwrap()), [0xBF, 0x41, 3, 0x81, 1, 5]);
    assert_eq!(device.profiles(), 0);
}

#[test]
fn what_is_no_piece_ends_the_session_with_a_result() {
    let pki = pki(1);
    let mut device = Device::new(Box::new(personalised(&pki)));
    let unknown: [&[u8]; 10] = [
        // No tag of the package: context, universal, private, two octets, a function of another release.
        &[0x85, 0x01, 0x00],
        &[0x89, 0x01, 0x00],
        &[0xA4, 0x00],
        &[0x30, 0x03, 0x02, 0x01, 0x00],
        &[0xE3, 0x00],
        &[0xBF, 0x24, 0x00],
        &[0xBF, 0x37, 0x00],
        &[0x9F, 0x70, 0x01, 0x00],
        // No tag and length at all.
        &[0x1F, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0x00],
    ];
    for (place, command, reason) in places() {
        for wrong in unknown {
            let (server, otpk) = ready(&mut device, &pki);
            let pieces = pieces(&server.package(&otpk, &contents()));
            assert_eq!(device.load_pieces(&pieces[..place]), None);
            let response = device.es10(wrong);
            assert_eq!(error(&final_result(&response)), (command, reason), "{wrong:02X?} at {place}");
            // What was answered is kept for the server as well.
            let notifications = device.notifications();
            assert_eq!(notifications.last().unwrap().octets(), response);
            is_over(&mut device, &server, &pieces[place..]);
        }
    }
}

/// Every piece in the place of every other kind of piece.
#[test]
fn pieces_in_the_wrong_place_end_the_session_with_a_result() {
    let pki = pki(1);
    let mut device = Device::new(Box::new(personalised(&pki)));
    let places = places();
    for (place, command, reason) in &places {
        for (other, ..) in &places {
            let (server, otpk) = ready(&mut device, &pki);
            let mut pieces = pieces(&server.package(&otpk, &contents()));
            // The same kind of segment twice or skipped is a matter of its MAC, and ReplaceSessionKeys may be left out.
            let (here, there) = (pieces[*place][0], pieces[*other][0]);
            if here == there || (here, there) == (0xA2, 0xA3) {
                continue;
            }
            pieces[*place] = pieces[*other].clone();
            assert_eq!(device.load_pieces(&pieces[..*place]), None);
            let response = device.es10(&pieces[*place]);
            assert_eq!(error(&final_result(&response)), (*command, *reason), "{other} at {place}");
            is_over(&mut device, &server, &pieces[*place..]);
        }
    }
}

/// Sends octets as they are cut; what the card said to the last of them.
fn load_cut(device: &mut Device, cuts: &[&[u8]]) -> FinalResult {
    let (last, before) = cuts.split_last().unwrap();
    for (number, piece) in before.iter().enumerate() {
        assert_eq!(device.try_es10(piece), (vec![], [0x90, 0]), "{number} of {}", cuts.len());
    }
    final_result(&device.es10(last))
}

/// SGP.22 §2.5.5 says how an LPA cuts, and LPAs that cut elsewhere are in use: any cut will do, between elements or within
/// one, header included.
#[test]
fn a_package_may_be_cut_anywhere() {
    let pki = pki(1);
    let installs = |cuts: &dyn Fn(&[u8]) -> Vec<Vec<u8>>, how: &str| {
        let mut device = Device::new(Box::new(personalised(&pki)));
        device.block = 255;
        let (server, otpk) = ready(&mut device, &pki);
        let cuts = cuts(&server.package(&otpk, &contents()));
        let cuts: Vec<&[u8]> = cuts.iter().map(Vec::as_slice).collect();
        let result = load_cut(&mut device, &cuts);
        assert!(matches!(result, FinalResult::SuccessResult(_)), "{how}: {result:?}");
        assert_eq!(device.profiles(), 1, "{how}");
    };
    for length in [1, 2, 7, 50, 255, 300, 1000, 1036, 4000] {
        installs(&|package| package.chunks(length).map(<[u8]>::to_vec).collect(), &format!("every {length}"));
    }
    // In two, at each place of the small parts, and here and there in the profile, its last octets included.
    let length = {
        let mut device = Device::new(Box::new(personalised(&pki)));
        let (server, otpk) = ready(&mut device, &pki);
        server.package(&otpk, &contents()).len()
    };
    for at in (1..700).step_by(11).chain((700..length - 40).step_by(397)).chain(length - 3..length) {
        let in_two = |package: &[u8]| vec![package[..at].to_vec(), package[at..].to_vec()];
        installs(&in_two, &format!("in two at {at}"));
    }
    // As the specification cuts, but for one piece that comes in two.
    let count = contents().metadata.len().div_ceil(40) + 6;
    for number in 0..count {
        for end in [false, true] {
            let one_in_two = |package: &[u8]| {
                let mut pieces = pieces(package);
                let at = if end { pieces[number].len() - 1 } else { 1 };
                let rest = pieces[number].split_off(at);
                pieces.insert(number + 1, rest);
                pieces
            };
            installs(&one_in_two, &format!("piece {number} in two, {end}"));
        }
    }
}

/// Within an element, a whole function is that function, and the element goes on behind it; what only begins like one is the
/// element's. The installation result comes with the piece that is wrong, as soon as that can be told.
#[test]
fn within_an_element() {
    let pki = pki(1);
    let mut device = Device::new(Box::new(personalised(&pki)));
    device.block = 255;
    let (server, otpk) = ready(&mut device, &pki);
    let package = server.package(&otpk, &contents());
    let (begun, rest) = package.split_at(600);
    assert!(device.es10(begun).is_empty());
    assert!(!device.es10(&[0xBF, 0x22, 0]).is_empty());
    assert!(matches!(final_result(&device.es10(rest)), FinalResult::SuccessResult(_)));

    // The rest of the element is 9 octets of something that begins like GetEUICCInfo2.
    let mut device = Device::new(Box::new(personalised(&pki)));
    let (server, otpk) = ready(&mut device, &pki);
    let mut pieces = pieces(&server.package(&otpk, &contents()));
    let at = pieces[3].len() - 9;
    let mut rest = pieces[3].split_off(at);
    rest[..3].copy_from_slice(&[0xBF, 0x22, 0]);
    assert_eq!(device.load_pieces(&pieces[..4]), None);
    let failed = (Command::STORE_METADATA, Reason::SCP03T_SECURITY_ERROR);
    assert_eq!(error(&final_result(&device.es10(&rest))), failed);
    is_over(&mut device, &server, &pieces[4..]);

    // An LPA that sends whole elements and cuts the last one off has nothing more to send: it hears of it now.
    let (server, otpk) = ready(&mut device, &pki);
    let mut pieces = super::pieces(&server.package(&otpk, &contents()));
    let last = pieces.pop().unwrap();
    assert_eq!(device.load_pieces(&pieces), None);
    let failed = (Command::LOAD_PROFILE_ELEMENTS, Reason::SCP03T_STRUCTURE_ERROR);
    assert_eq!(error(&final_result(&device.es10(&last[..last.len() - 1]))), failed);
    is_over(&mut device, &server, &[last]);

    // Nor does anything end a package that lost octets within: the next whole segment tells that they do not come.
    let metadata = (Command::STORE_METADATA2, Reason::SCP03T_STRUCTURE_ERROR);
    for (at, lost, failed) in [(Some(4), 20, metadata), (None, 200, failed)] {
        let (server, otpk) = ready(&mut device, &pki);
        let mut pieces = super::pieces(&server.package(&otpk, &contents()));
        let at = at.unwrap_or(pieces.len() - 2);
        let length = pieces[at].len() - lost;
        pieces[at].truncate(length);
        assert_eq!(device.load_pieces(&pieces[..=at]), None);
        assert_eq!(error(&final_result(&device.es10(&pieces[at + 1]))), failed, "{at}");
        is_over(&mut device, &server, &pieces[at + 2..]);
    }

    // A session in the middle of an element can be given up like any other.
    let (server, otpk) = ready(&mut device, &pki);
    let package = server.package(&otpk, &contents());
    assert!(device.es10(&package[..600]).is_empty());
    let cancel = rsp::es10b::CancelSessionRequest {
        transaction_id: server.transaction_id.clone(),
        reason: rsp::es10b::CancelSessionReason::LOAD_BPP_EXECUTION_ERROR,
    };
    let cancelled: rsp::es10b::CancelSessionResponse =
        rsp::decode(&device.es10(&rsp::encode(&cancel).unwrap())).unwrap();
    assert!(matches!(cancelled, rsp::es10b::CancelSessionResponse::CancelSessionResponseOk(_)));
    assert_ne!(device.try_es10(&package[600..700]).1, [0x90, 0]);
}

/// Between the pieces the LPA may ask what it likes; an empty STORE DATA is no question.
#[test]
fn functions_between_the_pieces_are_answered() {
    let pki = pki(1);
    let mut device = Device::new(Box::new(personalised(&pki)));
    let (server, otpk) = ready(&mut device, &pki);
    let pieces = pieces(&server.package(&otpk, &contents()));
    let (last, before) = pieces.split_last().unwrap();
    for piece in before {
        assert!(device.es10(piece).is_empty());
        assert_eq!(device.profiles(), 0);
        assert!(!device.es10(&[0xBF, 0x22, 0]).is_empty());
        assert_eq!(device.try_es10(&[0xBF, 0x31, 0]).1, [0x6A, 0x80]);
    }
    assert!(matches!(final_result(&device.es10(last)), FinalResult::SuccessResult(_)));

    let mut device = Device::new(Box::new(personalised(&pki)));
    let (server, otpk) = ready(&mut device, &pki);
    let pieces = super::pieces(&server.package(&otpk, &contents()));
    assert_eq!(device.load_pieces(&pieces[..4]), None);
    let empty = device.card.transmit(&[0x80, 0xE2, 0x91, 0x00]);
    assert_eq!(empty[0], 0x61, "{empty:02X?}");
    let failed = (Command::STORE_METADATA2, Reason::SCP03T_STRUCTURE_ERROR);
    let result = device.card.transmit(&[0x80, 0xC0, 0, 0, empty[1]]);
    assert_eq!(error(&final_result(&result[..result.len() - 2])), failed);
    is_over(&mut device, &server, &pieces[4..]);
}

/// Without a session that waits for a package, its parts are refused and unknown functions are unknown.
#[test]
fn nothing_is_loaded_without_a_session() {
    let pki = pki(1);
    let mut device = Device::new(Box::new(personalised(&pki)));
    let refused = |device: &mut Device| {
        for part in [&[0x86, 0x01, 0x00][..], &[0xA0, 0x00], &[0xBF, 0x23, 0x00], &[0xBF, 0x36, 0x00]] {
            assert_eq!(device.try_es10(part).1, [0x69, 0x85]);
        }
        assert_eq!(device.try_es10(&[0xBF, 0x35, 0x00]).1, [0x6A, 0x88]);
        assert_eq!(device.try_es10(&[0x00]).1, [0x6A, 0x80]);
    };
    refused(&mut device);
    let server = Server::new(&pki);
    let challenge = device.challenge();
    refused(&mut device);
    device.authenticate(&server.authentication(challenge)).unwrap();
    refused(&mut device);
    assert!(device.notifications().is_empty());
}
