#!/usr/bin/env bash
# What `annals top` takes of a core, beside a process that writes to all partitions of a store.
#
#   benches/command/top.sh
#
# ANNALS: the command, from PATH without it. PARTITIONS: 1000; RATE: records a second that are written, 200000; SECONDS_EACH: 30. DIR: where
# the store is, TMPDIR without it. The page is that of a terminal of tmux, 100 by 30; its time is user and system of its process.
set -euo pipefail
annals=$(command -v "${ANNALS:-annals}") partitions=${PARTITIONS:-1000} rate=${RATE:-200000} seconds=${SECONDS_EACH:-30}
dir=$(mktemp -d "${DIR:-${TMPDIR:-/tmp}}/annals-top.XXXXXX")
export ANNALS_STORE=$dir/store
server=(tmux -L "annals-bench-$$" -f /dev/null)
"$annals" topics create --topic load --partitions "$partitions" > /dev/null
"$annals" produce --topic load --throughput "$rate" < <(exec seq 1 1000000000) > "$dir/produced" 2>&1 &
writer=$!
trap '"${server[@]}" kill-server 2>/dev/null || true; kill $writer 2>/dev/null || true; wait $writer || true; cat "$dir/produced"; rm -r "$dir"' EXIT
sleep 3

# Clock ticks that a process has worked.
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

for options in "" "--partitions"; do
    "${server[@]}" new-session -d -s top -x 100 -y 30 "exec '$annals' --store '$ANNALS_STORE' top $options"
    page=$("${server[@]}" list-panes -t top -F '#{pane_pid}')
    sleep 2
    before=$(ticks "$page") began=$(date +%s.%N)
    sleep "$seconds"
    after=$(ticks "$page") ended=$(date +%s.%N)
    memory=$(awk '/^VmHWM/ { print $2 }' "/proc/$page/status")
    summary=$("${server[@]}" capture-pane -p -t top | sed -n 2p)
    "${server[@]}" kill-session -t top
    awk -v ticks=$((after - before)) -v began="$began" -v ended="$ended" -v tick="$(getconf CLK_TCK)" -v memory="$memory" -v name="top $options" \
        'BEGIN { own = ticks / tick; took = ended - began; printf "%-18s %.2f s of %.1f s: %.2f %% of a core, %.1f MiB at most\n", name, own, took, 100 * own / took, memory / 1024 }'
    echo "    $summary"
done
