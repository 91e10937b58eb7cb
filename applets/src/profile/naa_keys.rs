//! Which network keys a profile of class test may have.

use hex_literal::hex;
use saip::aka::{AlgoParameter, AlgorithmId};

/// K of the published test sets: TS 35.208 sets 1 to 20, TS 48, and the constant patterns of test benches.
///
/// A profile of class test can be put on any card by anyone; a key that opens a real network has no place in it.
const KNOWN: &[[u8; 16]] = &[
    hex!("00000000000000000000000000000000"),
    hex!("11111111111111111111111111111111"),
    hex!("000102030405060708090a0b0c0d0e0f"),
    hex!("00112233445566778899aabbccddeeff"),
    hex!("465b5ce8b199b49faa5f0a2ee238a6bc"),
    hex!("0396eb317b6d1c36f19c1c84cd6ffd16"),
    hex!("fec86ba6eb707ed08905757b1bb44b8f"),
    hex!("9e5944aea94b81165c82fbf9f32db751"),
    hex!("4ab1deb05ca6ceb051fc98e77d026a84"),
    hex!("6c38a116ac280c454f59332ee35c8c4f"),
    hex!("2d609d4db0ac5bf0d2c0de267014de0d"),
    hex!("a530a7fe428fad1082c45eddfce13884"),
    hex!("d9151cf04896e25830bf2e08267b8360"),
    hex!("a0e2971b6822e8d354a18cc235624ecb"),
    hex!("0da6f7ba86d5eac8a19cf563ac58642d"),
    hex!("77b45843c88e58c10d202684515ed430"),
    hex!("729b17729270dd87ccdf1bfe29b4e9bb"),
    hex!("d32dd23e89dc662354ca12eb79dd32fa"),
    hex!("af7c65e1927221de591187a2c5987a53"),
    hex!("5bd7ecd3d3127a41d12539bed4e7cf71"),
    hex!("6cd1c6ceb1e01e14f1b82316a90b7f3d"),
    hex!("b73a90cbcf3afb622dba83c58a8415df"),
    hex!("5122250214c33e723a5dd523fc145fc0"),
    hex!("90dca4eda45b53cf0f12d7c9c3bc6a89"),
];

/// Whether these parameters are fit for a profile of class test: the test algorithm, or a key everyone knows.
///
/// A key of 32 octets is known if both its halves are, or if it is all one octet.
pub(super) fn are_public(algo: &AlgoParameter) -> bool {
    let key = algo.key.expose();
    let uniform = key.windows(2).all(|pair| pair[0] == pair[1]);
    algo.algorithm_id == AlgorithmId::UsimTestAlgorithm
        || uniform
        || key.chunks(16).all(|half| KNOWN.iter().any(|known| known == half))
}
