#!/usr/bin/env bash
# The tests with many threads under ThreadSanitizer, those with maps and damaged files under AddressSanitizer. Linux on
# x86-64 or AArch64; no nightly toolchain is needed. A sanitizer's finding fails the run.
#
#   tests/sanitizers.sh [thread|address]
#
# ANNALS_ROUNDS and ANNALS_RECORDS (tests/interface/threads.rs) and ANNALS_SWEEP_STRIDE=1 (tests/format/corruption) make it longer. What
# ThreadSanitizer is known to report wrongly, and why, is in sanitizers.supp: a race with the last drop of an `Arc` in one of
# its stacks is not seen.
set -euo pipefail
cd "$(dirname "$0")/.."

export RUSTC_BOOTSTRAP=1
export ANNALS_ROUNDS="${ANNALS_ROUNDS:-3000}" ANNALS_RECORDS="${ANNALS_RECORDS:-300}"
export ANNALS_SWEEP_STRIDE="${ANNALS_SWEEP_STRIDE:-17}"
target="$(rustc -vV | sed -n 's/^host: //p')"
root="${CARGO_TARGET_DIR:-target}"

# Its own directory for each: a sanitizer changes everything that is built. `--target` keeps it out of build scripts.
under() {
    local sanitizer="$1"
    shift
    printf '\n== %s: cargo test %s\n' "$sanitizer" "$*"
    RUSTFLAGS="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer" \
        CARGO_TARGET_DIR="$root/$sanitizer" cargo test --target "$target" "$@"
}

if [[ "${1:-thread}" == thread ]]; then
    export TSAN_OPTIONS="suppressions=$PWD/tests/sanitizers.supp ${TSAN_OPTIONS:-}"
    under thread --test interface threads::
fi
if [[ "${1:-address}" == address ]]; then
    under address --lib -- io::
    under address --test interface threads::
    under address --test format corruption::
fi
