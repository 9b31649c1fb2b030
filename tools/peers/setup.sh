#!/usr/bin/env bash
# Installs the peers that Camelid is measured against and checked with. GPU libraries that a CPU run never loads are
# left out: the list is complete, so pip is told not to resolve dependencies itself.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export PEERS_HOME=${PEERS_HOME:-$HOME/.cache/camelid-peers}
mkdir -p "$PEERS_HOME"
[ -x "$PEERS_HOME/venv/bin/python" ] || python3 -m venv "$PEERS_HOME/venv"
"$PEERS_HOME/venv/bin/pip" install -q --no-deps -r "$here/requirements.txt" 'setuptools>=77.0.3'
if [ ! -f "$PEERS_HOME/smollm2-135m-instruct-hf/model.safetensors" ]; then
  cargo run --release --quiet -- export smollm2-135m-instruct "$PEERS_HOME/smollm2-135m-instruct-hf" --dtype f32
fi
if [ ! -f "$PEERS_HOME/hh_harmless_test.jsonl" ]; then
  curl --fail --location --silent --show-error \
    https://huggingface.co/datasets/Anthropic/hh-rlhf/resolve/main/harmless-base/test.jsonl.gz |
    gunzip > "$PEERS_HOME/hh_harmless_test.jsonl.part"
  mv "$PEERS_HOME/hh_harmless_test.jsonl.part" "$PEERS_HOME/hh_harmless_test.jsonl"
fi
echo "ready: tools/peers/compare.py all"
