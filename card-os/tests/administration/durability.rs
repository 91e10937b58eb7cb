//! What interrupts a command, or breaks it, leaves the files before or after it.

use super::*;

/// Cuts the power after the n-th update of memory, for every n: each command has happened, or has not.
#[test]
fn power_cuts() {
    struct Cut {
        memory: Arc<Mutex<MemoryNvm>>,
        snapshot: MemoryNvm,
        left: usize,
    }
    impl Nvm for Cut {
        fn get(&self, key: Key) -> Option<&[u8]> {
            self.snapshot.get(key)
        }
        fn keys(&self, range: core::ops::RangeInclusive<Key>) -> Vec<Key> {
            self.snapshot.keys(range)
        }
        fn apply(&mut self, updates: Vec<Update>) -> Result<(), NvmError> {
            self.left = self.left.checked_sub(1).ok_or(NvmError)?;
            self.memory.lock().unwrap().apply(updates.clone())?;
            self.snapshot.apply(updates)
        }
        fn used(&self) -> usize {
            self.snapshot.used()
        }
    }
    let session = [
        create("82027821 83025F01 8A0105 8B032F0601 81020100"),
        create("82024121 83024F01 8A0105 8B032F0601 80020010"),
        create("820446210004 83024F02 8A0103 8B032F0601 80020010"),
        resize(0, "83024F01 80020020"),
        hex!("0044000002 4F02").to_vec(),
        hex!("0004000002 5F01").to_vec(),
        hex!("0044000002 5F01").to_vec(),
        resize(0, "83025F01 81020080"),
        hex!("00E8000002 4F01").to_vec(),
        hex!("00E4000002 4F01").to_vec(),
        hex!("00E6000002 5F01").to_vec(),
        hex!("00E4000002 5F01").to_vec(),
        create("82027821 83027FD1 8406A00000009901 8A0105 8B032F0601"),
        hex!("00A4000C023F00").to_vec(),
        hex!("00E4000002 7FD1").to_vec(),
        hex!("00FE000000").to_vec(),
    ];
    // What lies in memory after each command of a session that nothing disturbs.
    let mut card = card_on(Box::new(formatted()));
    let states: Vec<_> = core::iter::once(contents(card.nvm()))
        .chain(session.iter().map(|command| {
            assert_eq!(card.transmit(command), hex!("9000"), "{command:02X?}");
            contents(card.nvm())
        }))
        .collect();
    for allowed in 0..=session.len() {
        let memory = Arc::new(Mutex::new(formatted()));
        let snapshot = memory.lock().unwrap().clone();
        let mut card = card_on(Box::new(Cut { memory: memory.clone(), snapshot, left: allowed }));
        let done = session.iter().take_while(|command| card.transmit(command) == hex!("9000")).count();
        let left = memory.lock().unwrap().clone();
        assert_eq!(contents(&left), states[done], "{allowed}: {done} commands");
        // A card that starts with it is that card.
        let mut after = card_on(Box::new(left));
        assert_eq!(contents(after.nvm()), states[done], "{allowed}");
        let selected = after.transmit(&hex!("00A4000C025F01"));
        let there = (1..12).contains(&done);
        let expected: &[u8] = match done {
            0 => &hex!("6A82"),
            6 => &hex!("6283"),
            11 => &hex!("6285"),
            _ if there => &hex!("9000"),
            16 => &hex!("6985"),
            _ => &hex!("6A82"),
        };
        assert_eq!(selected, expected, "{allowed}: {done}");
    }
}

/// Where memory does not take what a command writes, the tree is as before.
#[test]
fn a_memory_that_fails() {
    struct Failing(MemoryNvm);
    impl Nvm for Failing {
        fn get(&self, key: Key) -> Option<&[u8]> {
            self.0.get(key)
        }
        fn keys(&self, range: core::ops::RangeInclusive<Key>) -> Vec<Key> {
            self.0.keys(range)
        }
        fn apply(&mut self, _: Vec<Update>) -> Result<(), NvmError> {
            Err(NvmError)
        }
        fn used(&self) -> usize {
            self.0.used()
        }
    }
    let mut card = card_on(Box::new(Failing(formatted())));
    dialogue(
        &mut card,
        "00A4000C02 2F08 > 9000
         00E0000018 6216 82024121 83026F30 8A0105 8B032F0601 80020003 8800 > 6581
         00B0000005 > 3C3C020000 9000
         00A4000C02 6F30 > 6A82
         00A4000C02 2F08 > 9000
         00E4000000 > 6581
         00B0000005 > 3C3C020000 9000
         80D400000A 6208 83022F08 80020006 > 6581
         00B0000005 > 3C3C020000 9000
         00FE000000 > 6581
         00A4000C02 3F00 > 9000",
    );
}

/// Half a million commands with faults in them: no panic, a status word each, a refusal leaves memory as it was, and what lies in
/// memory is the card that a reset finds.
#[test]
fn broken_commands_break_nothing() {
    const COMMANDS: usize = 500_000;
    const PER_CARD: usize = 500;
    struct Watched(MemoryNvm, Arc<Mutex<usize>>);
    impl Nvm for Watched {
        fn get(&self, key: Key) -> Option<&[u8]> {
            self.0.get(key)
        }
        fn keys(&self, range: core::ops::RangeInclusive<Key>) -> Vec<Key> {
            self.0.keys(range)
        }
        fn apply(&mut self, updates: Vec<Update>) -> Result<(), NvmError> {
            *self.1.lock().unwrap() += usize::from(!updates.is_empty());
            self.0.apply(updates)
        }
        fn used(&self) -> usize {
            self.0.used()
        }
    }
    let seeds = [
        create("82027821 83025F01 8A0105 8B032F0601 81020100 C606 900180 830101"),
        create("82024121 83024F01 8A0105 8B032F0601 80020010 880108"),
        create("82024121 83024F04 A50A C00140 C1020102 D20101 8A0105 AB0880017F90008401D4 9000 80020010 8800"),
        create("820446210004 83024F02 8A0103 8C03031000 80020010"),
        create("82054221000404 83024F05 8A0105 8B062F0601010002 80020010 8800"),
        create("82027921 83024F03 A508 85020010 86020040 8A0105 8B032F0601 8800"),
        create("82027821 83027FD1 8406A00000009901 8A0105 8B032F0601"),
        resize(0, "83024F01 80020020"),
        resize(0, "83024F05 80020020 A503C10155"),
        resize(1, "83024F03 A50486020080"),
        resize(0, "83025F01 81020080"),
        hex!("00E4000002 4F01").to_vec(),
        hex!("00E4000002 5F01").to_vec(),
        hex!("00E4000002 7FD1").to_vec(),
        hex!("00E4000000").to_vec(),
        hex!("00E8000002 4F02").to_vec(),
        hex!("00E6000002 5F01").to_vec(),
        hex!("0044000002 4F02").to_vec(),
        hex!("0004000002 4F04").to_vec(),
        hex!("00A4000C02 3F00").to_vec(),
        hex!("00A4000C02 5F01").to_vec(),
        hex!("00A4000402 4F01").to_vec(),
        hex!("00A4040406 A00000009901").to_vec(),
        hex!("0070000000").to_vec(),
        hex!("01A4000C02 5F01").to_vec(),
        hex!("01E4000002 4F01").to_vec(),
        hex!("00D6000002 0102").to_vec(),
        hex!("80DB008006 8004 01020304").to_vec(),
        hex!("8076000004 010A 0201").to_vec(),
        hex!("8076010008 0102030405060708").to_vec(),
        hex!("807A000003 800101").to_vec(),
    ];
    let mut random = 1_u64;
    let mut roll = |sides: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % sides.max(1) as u64).unwrap()
    };
    let mut carried_out = 0;
    for _ in 0..COMMANDS / PER_CARD {
        let changes = Arc::new(Mutex::new(0));
        let mut card = card_on(Box::new(Watched(formatted(), changes.clone())));
        for _ in 0..PER_CARD {
            let mut command = seeds[roll(seeds.len())].clone();
            for _ in 0..roll(3) {
                let at = roll(command.len());
                match roll(8) {
                    0 => command.truncate(at),
                    1 => command.insert(at, u8::try_from(roll(256)).unwrap()),
                    2 if at < command.len() => drop(command.remove(at)),
                    3 => command.extend_from_slice(&[0xFF; 3][..roll(4)]),
                    _ if at < command.len() => command[at] = u8::try_from(roll(256)).unwrap(),
                    _ => {}
                }
            }
            let before = *changes.lock().unwrap();
            let answer = card.transmit(&command);
            let sw1 = answer[answer.len() - 2];
            let is_refused = matches!(sw1, 0x64 | 0x67..=0x6F);
            assert!(matches!(sw1, 0x61..=0x6F | 0x90 | 0x91 | 0x98), "{command:02X?}: {answer:02X?}");
            assert!(!is_refused || *changes.lock().unwrap() == before, "{command:02X?}: {answer:02X?}");
            assert!(card.nvm().used() <= MEMORY, "{command:02X?}");
            carried_out += usize::from(!is_refused);
            let is_suspended = !is_refused && command.get(1) == Some(&0x76);
            if is_suspended || roll(60) == 0 {
                card.reset();
            }
        }
        let kept = contents(card.nvm());
        card.reset();
        assert_eq!(contents(card.nvm()), kept);
        let cost: usize = kept.iter().map(|(key, value)| key.cost(value.len())).sum();
        assert_eq!(cost, card.nvm().used());
    }
    assert!(carried_out > COMMANDS / 10, "{carried_out}");
}
