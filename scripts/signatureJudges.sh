#!/bin/sh
# Builds the judges of signatures with Go, and tries Strata against them: containers' own library, which decides on the same
# policies, and cosign, which signs and verifies. Without Go it says so and does nothing.
#   sh scripts/signatureJudges.sh [DIRECTORY]     keeps the programs there (default: ~/.cache/strata-judges)
set -eu
cd "$(dirname "$0")/.."

cosign=github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5
directory=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/strata-judges}

if ! command -v go >/dev/null 2>&1; then
  echo 'SKIPPED: the judges of signatures are not built, there is no Go' >&2
  exit 0
fi
mkdir -p "$directory"
# Two cores are enough for one compiler; the parts with C are not needed.
export GOFLAGS=-p=2 CGO_ENABLED=0
[ -x "$directory/cosign" ] || GOBIN=$directory go install "$cosign"
(cd test/clients/policyJudge && go build -tags=containers_image_openpgp,exclude_graphdriver_btrfs,containers_image_storage_stub -o "$directory/policyJudge" .)

PATH=$PWD/node_modules/.bin:$directory:$PATH node --test test/engine/trust.test.ts test/clients/cosign.test.ts
