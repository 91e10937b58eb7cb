//! `vuicc`: an emulated SIM and eUICC, its LPA and its SM-DP+.
fn main() {}
