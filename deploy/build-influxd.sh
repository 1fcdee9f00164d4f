#!/usr/bin/env bash
# Builds a real influxd (2.7.12, without its pages) from Go modules and crates alone, for the tests. Prints its path.
# It is kept in ${XDG_CACHE_HOME:-~/.cache}/heartbeat/influxd-2.7.12/, outside the repository; a second call finds it
# there. Needs go, cargo and gcc; five to eight minutes. Users have the Docker image influxdb:2.7 instead.
set -euo pipefail

version=2.7.12
flux=0.196.1
home=${XDG_CACHE_HOME:-$HOME/.cache}/heartbeat/influxd-$version
if [ -x "$home/influxd" ]; then
    echo "$home/influxd"
    exit
fi
for tool in go cargo gcc; do
    if ! command -v "$tool" >/dev/null; then
        echo "$0: influxd cannot be built: there is no $tool. Install it, or name a built influxd with INFLUXD" >&2
        exit 1
    fi
done

mkdir -p "$home"
exec 9>"$home/lock"
flock 9  # two builds at once would only slow each other down
if [ -x "$home/influxd" ]; then
    echo "$home/influxd"
    exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/wrap"
say() { echo "[$(date +%T)] $*" >&2; }

say "building influxd $version: the linker's helper"
GOBIN="$work/bin" go install github.com/influxdata/pkg-config@v0.2.14
# Flux's crates forbid warnings, and newer compilers have new ones. RUSTFLAGS would not reach its build scripts.
printf '#!/bin/sh\nexec "$@" --cap-lints=warn\n' > "$work/bin/rustc-lax"
chmod +x "$work/bin/rustc-lax"
cat > "$work/wrap/go.mod" <<M
module example.invalid/influxd-build

go 1.23.0

require (
	github.com/influxdata/flux v$flux
	github.com/influxdata/influxdb/v2 v$version
)

replace github.com/nats-io/nats-streaming-server v0.11.2 => github.com/influxdata/nats-streaming-server v0.11.3-0.20201112040610-c277f7560803
M
cd "$work/wrap"
say "its modules"
source=$(go mod download -json "github.com/influxdata/influxdb/v2@v$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
cp "$source/go.sum" go.sum
chmod u+w go.sum
export PATH="$work/bin:$PATH" PKG_CONFIG="$work/bin/pkg-config" RUSTC_WRAPPER="$work/bin/rustc-lax" CGO_ENABLED=1
if command -v rustup >/dev/null; then  # Flux asks for an older compiler: the one that is there does
    RUSTUP_TOOLCHAIN=$(cd / && rustup show active-toolchain | cut -d' ' -f1)
    export RUSTUP_TOOLCHAIN
fi
say "libflux (cargo)"
pkg-config --cflags --libs flux > "$work/flux.log" 2>&1 || { tail -50 "$work/flux.log" >&2; exit 1; }
say "influxd (go build)"
go build -mod=mod -trimpath -tags sqlite_foreign_keys,sqlite_json -ldflags "-s -w -X main.version=v$version" \
    -o "$home/influxd.new" github.com/influxdata/influxdb/v2/cmd/influxd >&2
"$home/influxd.new" version >&2
mv "$home/influxd.new" "$home/influxd"  # whole or not at all
say "done"
echo "$home/influxd"
