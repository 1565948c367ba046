#!/usr/bin/env bash
# The picture of `annals top` in docs/command.md: the page as a terminal (tmux) has it, over the store of examples/metrics at work.
#
#   crates/annals-cli/tests/pictures/top.sh [FILE]      # docs/top.svg without it
#
# The variables ANNALS and LOAD name binaries that are built; without them cargo builds both.
set -euo pipefail
cd "$(dirname "$0")/../../../.."
to=${1:-docs/top.svg} columns=100 rows=24
[ -n "${ANNALS:-}" ] || { cargo build --release -p annals-cli && ANNALS=${CARGO_TARGET_DIR:-target}/release/annals; }
[ -n "${LOAD:-}" ] || {
    cargo build --release --manifest-path examples/metrics/Cargo.toml
    LOAD=${CARGO_TARGET_DIR:-examples/metrics/target}/release/annals-metrics-example
}
dir=$(mktemp -d)
ANNALS_STORE=$dir/shop-log "$LOAD" 127.0.0.1:0 load > "$dir/load.log" 2>&1 &
load=$!
server=(tmux -L "annals-top-$$" -f /dev/null)
trap '"${server[@]}" kill-server 2>/dev/null || true; kill $load; wait $load 2>/dev/null || true; rm -r "$dir"' EXIT
until [ -s "$dir/load.log" ]; do kill -0 $load && sleep 0.1; done
# The reader that falls behind rests for 20 s at first.
sleep 24
cp "$ANNALS" "$dir/annals"
"${server[@]}" new-session -d -s top -x $columns -y $rows "cd '$dir' && exec ./annals --store shop-log top"
sleep 6
"${server[@]}" capture-pane -e -p -t top > "$dir/page"
grep -q 'orders' "$dir/page" || { cat "$dir/page" "$dir/load.log"; exit 1; }
python3 crates/annals-cli/tests/pictures/terminal.py --columns $columns < "$dir/page" > "$to"
echo "$to: $(wc -c < "$to") bytes"
