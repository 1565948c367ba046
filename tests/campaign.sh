#!/usr/bin/env bash
# The long campaigns, one behind the other, and what each counted, one line each, at the end. An hour and a quarter on two cores, of which the power cuts take most.
#
#   tests/campaign.sh                                  # all of them
#   tests/campaign.sh power_cut durability             # these
#   ANNALS_CRASH_STATES=1000000 tests/campaign.sh      # smaller
#
# The variables are those of the tests, with other defaults. Each must end without a failure.
set -uo pipefail
cd "$(dirname "$0")/.."

# What is judged millions of times is worth compiling better. Assertions and checks of overflow stay as in any test.
export CARGO_PROFILE_TEST_OPT_LEVEL=3 CARGO_INCREMENTAL=0
export ANNALS_CRASH_STATES="${ANNALS_CRASH_STATES:-20000000}"
export ANNALS_FAULTS=all
export ANNALS_MODEL_SEEDS="${ANNALS_MODEL_SEEDS:-2000}" ANNALS_MODEL_OPS="${ANNALS_MODEL_OPS:-300}"
export ANNALS_REPAIR_STRIDE="${ANNALS_REPAIR_STRIDE:-97}"
export ANNALS_LIVES="${ANNALS_LIVES:-2000}" ANNALS_LIFE_CALLS="${ANNALS_LIFE_CALLS:-300}"
export ANNALS_KILLS="${ANNALS_KILLS:-2000}" ANNALS_TRANSACTION_KILLS="${ANNALS_TRANSACTION_KILLS:-2000}"
export ANNALS_TRANSACTION_STATES="${ANNALS_TRANSACTION_STATES:-1000000}"
export ANNALS_TRANSACTION_SEEDS="${ANNALS_TRANSACTION_SEEDS:-2000}" ANNALS_HISTORIES="${ANNALS_HISTORIES:-200}"

logs="$(mktemp -d)"
failed=0

# campaign NAME PATTERN ARGUMENTS…: `cargo test ARGUMENTS`; the lines that match PATTERN are its counts.
campaign() {
    local name="$1" pattern="$2" began=$SECONDS outcome=ok
    shift 2
    printf '== %s: cargo test %s\n' "$name" "$*"
    cargo test "$@" >"$logs/$name" 2>&1 || { outcome=FAILED failed=1; }
    # In the middle of a line when the harness has begun one.
    grep -oE "$pattern" "$logs/$name" | sed "s/^/$name: /" >>"$logs/counts"
    printf '%s: %s, %s s, %s\n' "$name" "$outcome" $((SECONDS - began)) "$logs/$name" >>"$logs/counts"
}

chosen=("${@:-power_cut durability model repair kill lives transactions isolation backup tasks}")
for one in ${chosen[*]}; do
    case "$one" in
        # All explorations at once: with as many threads as cores, the longest would end alone.
        power_cut)
            RUST_TEST_THREADS=12 campaign power_cut '[a-z_]+: [0-9]+ states of .*' \
                --test crash power_cut:: -- --nocapture ;;
        durability)
            campaign durability '(recovery|Error|Torn|Short).*: [0-9]+ calls' \
                --test crash durability:: -- --nocapture ;;
        model) campaign model '[0-9]+ passed' --lib -- --nocapture model ;;
        repair)
            campaign repair '(^[a-z]+ +[a-z0-9 ]+ +(repaired|unchanged|refused) +[0-9]+|[0-9]+ repairs were .*)' \
                --test format corruption::repair -- --nocapture ;;
        kill) campaign kill '[0-9]+ kills, .*' --test crash kill:: -- --nocapture ;;
        lives) campaign lives 'Counts .*' --test crash lives:: -- --nocapture ;;
        transactions) campaign transactions '[0-9]+ passed' --test interface transactions::model -- --nocapture ;;
        isolation)
            campaign isolation '([0-9]+ kills, .*|[0-9]+ transactions were committed)' \
                --test crash isolation:: -- --nocapture ;;
        backup)
            ANNALS_BACKUPS="${ANNALS_BACKUPS:-100}" ANNALS_BACKUP_KILLS="${ANNALS_BACKUP_KILLS:-200}" \
                ANNALS_BACKUP_CUTS="${ANNALS_BACKUP_CUTS:-40}" campaign backup '[0-9]+ passed' --test backup ;;
        tasks) ANNALS_WAKES="${ANNALS_WAKES:-200000}" campaign tasks '[0-9]+ passed' --test tasks ;;
        *) printf 'no campaign %s\n' "$one" >&2; exit 2 ;;
    esac
done
printf '\n'
cat "$logs/counts"
states="$(grep -oE '[0-9]+ states' "$logs/counts" | awk '{ sum += $1 } END { print sum + 0 }')"
printf 'crash states together: %s\n' "$states"
exit "$failed"
