#!/usr/bin/env bash
# The picture of the dashboard: examples/metrics at work, a Prometheus that scrapes it each second, and draw.py, which fails where an
# expression of the dashboard gives no number.
#
#   docs/grafana/picture.sh [MINUTES]      # 4 without it; writes docs/grafana/dashboard.svg
#
# The variable PROMETHEUS names the binary where it is not in PATH, LOAD the example where it is built.
set -euo pipefail
cd "$(dirname "$0")/../.."
minutes=${1:-4} scraped=127.0.0.1:9184 asked=127.0.0.1:9095
[ -n "${LOAD:-}" ] || {
    cargo build --release --manifest-path examples/metrics/Cargo.toml
    LOAD=${CARGO_TARGET_DIR:-examples/metrics/target}/release/annals-metrics-example
}
dir=$(mktemp -d)
cat > "$dir/prometheus.yml" <<END
global: { scrape_interval: 1s, scrape_timeout: 1s }
scrape_configs: [ { job_name: annals, static_configs: [ { targets: [ "$scraped" ] } ] } ]
END
"$LOAD" $scraped load > "$dir/load.log" 2>&1 &
load=$!
"${PROMETHEUS:-prometheus}" --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/data" \
    --web.listen-address=$asked > "$dir/prometheus.log" 2>&1 &
prometheus=$!
trap 'kill $load $prometheus || true; wait $load $prometheus 2>/dev/null || true; rm -r "$dir"' EXIT
# Of what lies before the first scrapes there are no rates.
sleep "$(awk "BEGIN { print $minutes * 60 + 10 }")"
kill -0 $load && kill -0 $prometheus || { cat "$dir/load.log" "$dir/prometheus.log"; exit 1; }
python3 docs/grafana/draw.py --prometheus http://$asked --minutes "$minutes" --scrape-interval 1
