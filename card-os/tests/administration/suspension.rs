//! SUSPEND UICC, and what else a card says that it can. TS 102 221 §11.1.20 to §11.1.22.

use super::*;

/// SUSPEND UICC: what a reset loses comes back with the token. TS 102 221 §11.1.22.
#[test]
fn suspended_and_resumed() {
    let mut card = card();
    dialogue(
        &mut card,
        "00A4040C07 A0000000871002 > 9000
         0020000A08 3838383838383838 > 9000
         0070000001 > 01 9000
         01A4080C02 7F10 > 9000
         # At least ten minutes, an hour at most.
         8076000004 010A 0201 > 610A
         00C000000A > 0201 0102030405060708 9000
         # It sleeps.
         00A4000C02 3F00 > 6985
         8076000004 010A 0201 > 6985",
    );
    card.power_off();
    card.reset();
    dialogue(
        &mut card,
        "8076010008 0102030405060708 > 9000
         80F2000109 > 8407A0000000871002 9000
         00A4000C02 6F07 > 9000
         01E4000002 6F02 > 9000
         # Once.
         8076010008 0102030405060708 > 6985",
    );
    // A wrong token, one of another length, or another command first: a new session, and the old one is gone.
    for first in ["8076010008 0102030405060709 > 6982", "8076010004 01020304 > 6700", "80F2000C > 9000"] {
        let mut card = self::card();
        dialogue(
            &mut card,
            "00A4040C07 A0000000871002 > 9000
             8076000004 0000 0301 0A > 03010102030405060708 9000",
        );
        card.power_off();
        card.reset();
        card.reset();
        dialogue(&mut card, first);
        dialogue(
            &mut card,
            "80F20001 > 6A88
             8076010008 0102030405060708 > 6985
             00A4000C02 7F10 > 9000",
        );
    }
    let mut card = self::card();
    dialogue(
        &mut card,
        "# Longer than ten days is not agreed to; at least that is refused.
         8076000004 0402 0403 > 9864
         8076000004 0301 0201 > 6A80
         8076000004 0501 0501 > 6A80
         8076000004 0000 0000 > 6A80
         8076000003 000003 > 6700
         8076000000 > 6700
         8076020004 0000 0301 > 6A86
         8076000104 0000 0301 > 6A86
         8076010007 01020304050607 > 6700
         0076000004 0000 0301 > 6E00
         0070000001 > 01 9000
         8176000004 0000 0301 > 6E00
         8076000004 0401 04FF 0A > 0401 0102030405060708 9000",
    );
    // Not announced in EF.UMPC: not known.
    let mut card = self::card();
    dialogue(
        &mut card,
        "00A4000C02 2F08 > 9000
         00D6000201 00 > 9000
         8076000004 0000 0301 > 6D00
         8076010008 0102030405060708 > 6D00",
    );
}

/// EXCHANGE CAPABILITIES, MANAGE SECURE CHANNEL, TRANSACT DATA: the first is answered, the others are not announced.
#[test]
fn what_the_card_can() {
    let mut card = card();
    dialogue(
        &mut card,
        "807A000003 800101 > 6103
         00C0000003 > 810100 9000
         807A000003 800201 > 6A80
         807A000000 > 6700
         807A010003 800101 > 6A86
         007A000003 800101 > 6E00
         0073000000 > 6D00
         0075000000 > 6D00
         807C000000 > 6D00
         0084000008 > 0102030405060708 9000
         0084000100 > 6A86",
    );
}
