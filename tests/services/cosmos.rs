//! The Cosmos emulator of the SDK, which is a program of ours in `cosmos/`. It is memory only: a crash empties it.
//! It takes any key that is base64.

use std::sync::OnceLock;

use super::{Kind, Proxy, Server, own, shared};

const EMULATOR: Kind = Kind { name: "the Cosmos emulator", script: "cosmos/run.sh", scheme: "http://", ports: 1 };

/// The emulator of this test run, which never refuses for load.
pub fn cosmos() -> Option<&'static Server> {
    static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
    shared(&EMULATOR, &SHARED, |server| server)
}

/// An emulator of the caller's own that answers 429 where a container's request units are used up.
pub fn cosmos_throttled() -> Option<Server> {
    own(&EMULATOR, &["--throttle"])
}

/// An emulator of the caller's own whose clients come through a proxy: they follow the address that the account names.
pub fn cosmos_behind(proxy: &Proxy) -> Option<Server> {
    own(&EMULATOR, &["--advertise", &proxy.address().port().to_string()])
}
