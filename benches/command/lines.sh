#!/usr/bin/env bash
# Lines of a file into a topic and out of it again: `annals produce` and `consume` on a store, kcat on a broker, in turn.
#
#   benches/command/lines.sh
#
# ANNALS: the command, from PATH without it. LINES: 1000000; WIDTH: bytes of each, 100; REPETITIONS: 3. DIR: where the file and the store
# are, TMPDIR without it. PARTITIONS: 1, as a broker makes a topic of that it does not know. BROKER: host:port; without it kcat is left out. BROKER_PID: the broker's process, whose time is added.
#
# A row for each run: seconds by the clock, of the process's user and system time, and of the broker's; lines a second by the clock, and by the
# processor's time of all that worked. The medians are at the end. `annals produce` ends when all is on the disk of DIR; kcat when
# the broker has it, which syncs later. Both check that as many lines came back.
set -euo pipefail
annals=${ANNALS:-annals} lines=${LINES:-1000000} width=${WIDTH:-100} repetitions=${REPETITIONS:-3} partitions=${PARTITIONS:-1}
dir=$(mktemp -d "${DIR:-${TMPDIR:-/tmp}}/annals-lines.XXXXXX")
trap 'rm -r "$dir"' EXIT
TIMEFORMAT='%R %U %S'
export ANNALS_STORE=$dir/store

# Seconds that the broker has worked.
broker_seconds() {
    [ -n "${BROKER_PID:-}" ] || { echo 0; return; }
    awk -v tick="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); printf "%.2f", ($12 + $13) / tick }' "/proc/$BROKER_PID/stat"
}

# measure NAME COMMAND...: its standard output goes to $dir/out.
measure() {
    local name=$1 before after took
    shift
    before=$(broker_seconds)
    took=$({ time "$@" > "$dir/out" 2> "$dir/errors"; } 2>&1) || { cat "$dir/errors"; exit 1; }
    after=$(broker_seconds)
    echo "$name $took $before $after" | awk -v lines="$lines" '{
        own = $3 + $4; others = $1 ~ /^kcat/ ? $6 - $5 : 0; all = own + others
        printf "%-16s %8.2f %8.2f %8.2f %10.0f %10.0f\n", $1, $2, own, others, lines / $2, lines / (all > 0 ? all : 0.01) }' | tee -a "$dir/rows"
}

came_back() {
    local there
    there=$(wc -l < "$dir/out")
    [ "$there" = "$lines" ] || { echo "$1: $there of $lines lines came back"; exit 1; }
}

awk -v lines="$lines" -v width="$width" 'BEGIN { for (i = 0; i < lines; i++) printf "%0" width "d\n", i }' > "$dir/lines"
"$annals" topics create --topic first --partitions "$partitions" > /dev/null
printf '%-16s %8s %8s %8s %10s %10s\n' what clock own broker lines/s 'lines/cpu-s'
for repetition in $(seq "$repetitions"); do
    topic=lines-$$-$repetition
    "$annals" topics create --topic "$topic" --partitions "$partitions" > /dev/null
    measure annals-produce "$annals" produce --topic "$topic" --file "$dir/lines"
    measure annals-consume "$annals" consume --topic "$topic"
    came_back annals
    "$annals" topics delete --topic "$topic" > /dev/null
    [ -n "${BROKER:-}" ] || continue
    # The broker makes the topic.
    kcat -L -b "$BROKER" -t "$topic" > /dev/null && sleep 2
    measure kcat-produce kcat -P -b "$BROKER" -t "$topic" -l "$dir/lines"
    measure kcat-consume kcat -C -b "$BROKER" -t "$topic" -o beginning -e -q
    came_back kcat
done
echo medians
for what in annals-produce annals-consume kcat-produce kcat-consume; do
    grep "^$what " "$dir/rows" | sort -n -k2 | awk '{ row[NR] = $0 } END { if (NR) print row[int((NR + 1) / 2)] }'
done
