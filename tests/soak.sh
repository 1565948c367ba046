#!/usr/bin/env bash
# Topics, groups and segments that are made and go away again, for as long as is asked. Memory, descriptors, maps and files
# must not grow; the last line says what was held.
#
#   tests/soak.sh [MINUTES]        # 60 by default
set -euo pipefail
cd "$(dirname "$0")/.."
ANNALS_SOAK_MINUTES="${1:-60}" CARGO_PROFILE_TEST_OPT_LEVEL=3 cargo test --test resources -- --ignored --nocapture soak
