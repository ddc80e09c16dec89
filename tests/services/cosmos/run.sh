#!/usr/bin/env bash
# The Cosmos emulator of this folder, built once. It keeps nothing, so a crash empties it. Settings: see src/main.rs.
set -euo pipefail
. "$(dirname "$0")/../serve.sh"
needs cargo cc
settings=("$@")

build() { cargo build --release --locked --quiet --manifest-path "$here/Cargo.toml" --target-dir "$cache/target"; }
once "emulator-$(sum "$here"/Cargo.* "$here"/src/*)" build

launch() {
  "$cache/target/release/cosmos-emulator" "$port" "${settings[@]}" >"$log" 2>&1 </dev/null &
  pids=($!)
}
answers() { grep -qx listening "$log"; }

serve
