#!/usr/bin/env bash
# The promises of docs/design.md on real file systems. README.md beside this file says what each campaign does.
#
#   tests/real_disk/run.sh [CAMPAIGN [FILE SYSTEM [COUNT]]]
#
# CAMPAIGN: cuts, transactions, unsynced, failed-sync, failed-sync-naive, injection, injection-recovery, all (default: all).
# FILE SYSTEM: ext4, ext4-writeback, xfs, all (default: all).
# ANNALS_REAL_DISK=required: what cannot be run here is a failure. ANNALS_SEED repeats the timing of cuts as far as a
# machine can. ANNALS_REAL_DISK_DIR: where the disk images are made; in memory where that is possible. ANNALS_REAL_DISK_KEEP:
# a file for the image of a campaign that failed.
set -euo pipefail
cd "$(dirname "$0")/../.."

campaign=${1:-all}
wanted=${2:-all}
count=${3:-}
skipped=0

skip() {
    printf '\n*** SKIPPED: %s\n' "$*" >&2
    skipped=$((skipped + 1))
}

has() { command -v "$1" >/dev/null; }

finish() {
    if ((skipped > 0)); then
        printf '\n*** %d campaigns were SKIPPED\n' "$skipped" >&2
        [[ ${ANNALS_REAL_DISK:-} != required ]] || exit 1
    fi
    exit 0
}

# Nothing here works without these.
if ((EUID != 0)); then skip "needs root, for mounts and the shutdown of file systems"; finish; fi
if [[ ! -e /dev/loop-control ]] || ! losetup -f >/dev/null 2>&1; then skip "no loop devices"; finish; fi

binary=$(cargo test --test real_disk --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*real_disk-[^"]*\)".*/\1/p' | tail -n 1)
[[ -x $binary ]] || { echo "tests/real_disk did not build" >&2; exit 1; }

images=${ANNALS_REAL_DISK_DIR:-/dev/shm}
[[ -d $images ]] || images=/tmp
work=$(mktemp -d "$images/annals-real-disk.XXXXXX")
loop= nbdkit= nbdfuse=

# Waits a few seconds for what a process that was just started makes.
await() {
    for _ in $(seq 100); do
        if "$@"; then return 0; fi
        sleep 0.05
    done
    echo "in vain: $*" >&2
    return 1
}

tear_down() {
    rm -f "$work/switch"
    # What was killed may not be gone yet.
    if mountpoint -q "$work/mnt"; then await umount -q "$work/mnt" || umount -l "$work/mnt"; fi
    if [[ -n $loop ]]; then losetup -d "$loop" || true; loop=; fi
    if [[ -n $nbdfuse ]]; then fusermount3 -u "$work/nbd" || kill "$nbdfuse" || true; wait "$nbdfuse" || true; nbdfuse=; fi
    if [[ -n $nbdkit ]]; then kill "$nbdkit" || true; wait "$nbdkit" || true; nbdkit=; fi
    rm -rf "${work:?}"/*
}

clean_up() {
    if [[ -n ${ANNALS_REAL_DISK_KEEP:-} && -e $work/image ]]; then
        if mountpoint -q "$work/mnt"; then umount "$work/mnt" || true; fi
        cp --sparse=always "$work/image" "$ANNALS_REAL_DISK_KEEP"
    fi
    tear_down
    rmdir "$work" 2>/dev/null || true
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# A disk whose writes fail as long as the file $work/switch exists.
failing_disk() {
    nbdkit -f -U "$work/socket" --filter=error file "$work/image" \
        error=EIO error-pwrite-rate=100% error-file="$work/switch" 2>"$work/nbdkit.log" &
    nbdkit=$!
    await test -S "$work/socket"
    : >"$work/nbd"
    nbdfuse "$work/nbd" --unix "$work/socket" 2>"$work/nbdfuse.log" &
    nbdfuse=$!
    await test -s "$work/nbd"
    disk=$work/nbd
}

# set_up ext4|ext4-writeback|xfs plain|failing: a new file system, mounted at $work/mnt.
set_up() {
    tear_down
    mkdir "$work/mnt"
    truncate -s 512M "$work/image"
    disk=$work/image
    [[ $2 != failing ]] || failing_disk
    loop=$(losetup -f --show "$disk")
    options=defaults
    case $1 in
        ext4) type=ext4; mkfs.ext4 -q -F "$loop" ;;
        ext4-writeback) type=ext4; options=data=writeback; mkfs.ext4 -q -F "$loop" ;;
        xfs) type=xfs; mkfs.xfs -q -f "$loop" ;;
        *) echo "no such file system: $1" >&2; exit 2 ;;
    esac
    mount -t "$type" -o "$options" "$loop" "$work/mnt"
}

# Syncs that do nothing and short writes, put in front of the C library.
build_preload() { cc -shared -fPIC -O1 -o "$work/preload.so" tests/real_disk/preload.c -ldl; }

# run_on CAMPAIGN FILE-SYSTEM DEFAULT-COUNT
run_on() {
    local name=$1 system=$2 number=${count:-$3} disk_kind=plain more=()
    case $name in
        unsynced | injection*) has cc || { skip "$name on $system: no C compiler"; return; } ;;&
        injection*) has strace || { skip "$name on $system: no strace"; return; } ;;
        failed-sync*)
            has nbdkit && has nbdfuse || { skip "$name on $system: no nbdkit or no nbdfuse (Debian: libnbd-bin)"; return; }
            [[ -e /dev/fuse ]] || { skip "$name on $system: no /dev/fuse"; return; }
            disk_kind=failing ;;
    esac
    has "mkfs.${system%-*}" || { skip "$name on $system: no mkfs.${system%-*}"; return; }
    printf '\n== %s on %s, %s\n' "$name" "$system" "$number"
    set_up "$system" "$disk_kind"
    case $name in
        unsynced | injection*) build_preload; more=(preload="$work/preload.so" trace="$work/trace") ;;
        failed-sync*) more=(switch="$work/switch") ;;
    esac
    [[ $name != injection-recovery ]] || more+=(recovery=yes)
    # For injection the count says that every so many-th call fails, 1 for all.
    "$binary" "${name%-recovery}" device="$loop" at="$work/mnt" type="$type" mount-options="$options" \
        count="$number" every="$number" ${ANNALS_SEED:+seed="$ANNALS_SEED"} "${more[@]}"
    tear_down
}

each_system() {
    local system
    for system in ext4 xfs ext4-writeback; do
        [[ $wanted != all && $wanted != "$system" ]] || run_on "$1" "$system" "$2"
    done
}

case $campaign in
    all)
        each_system cuts 60
        each_system transactions 60
        each_system unsynced 20
        each_system failed-sync 20
        each_system failed-sync-naive 10
        each_system injection 40
        each_system injection-recovery 40
        ;;
    cuts | transactions) each_system "$campaign" 60 ;;
    unsynced) each_system unsynced 20 ;;
    failed-sync) each_system failed-sync 20 ;;
    failed-sync-naive) each_system failed-sync-naive 10 ;;
    injection | injection-recovery) each_system "$campaign" 1 ;;
    *) echo "no such campaign: $campaign" >&2; exit 2 ;;
esac
finish
