#!/usr/bin/env bash
# Installs the peers that Camelid is measured against and checked with. GPU libraries that a CPU run never loads are
# left out: the list is complete, so pip is told not to resolve dependencies itself.
# WITH_EVAL=1 adds lm-evaluation-harness.
# WITH_LLAMA=1 adds llama.cpp, built from source for this processor: ten minutes on two cores, once, since the wheel is kept.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export PEERS_HOME=${PEERS_HOME:-$HOME/.cache/camelid-peers}
mkdir -p "$PEERS_HOME"
[ -x "$PEERS_HOME/venv/bin/python" ] || python3 -m venv "$PEERS_HOME/venv"
"$PEERS_HOME/venv/bin/pip" install -q --no-deps -r "$here/requirements.txt" 'setuptools>=77.0.3'
if [ "${WITH_EVAL:-0}" = 1 ]; then
  "$PEERS_HOME/venv/bin/pip" install -q --no-deps -r "$here/requirements-eval.txt" diskcache==5.6.3
fi
if [ "${WITH_LLAMA:-0}" = 1 ]; then
  llama=0.3.36 wheels="$PEERS_HOME/wheels"
  if ! compgen -G "$wheels/llama_cpp_python-$llama-*.whl" > /dev/null; then
    # cmake and ninja come from PyPI as the package's build requirements.
    CMAKE_ARGS="-DGGML_NATIVE=ON" CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)} \
      "$PEERS_HOME/venv/bin/pip" wheel -q --no-deps --no-binary llama-cpp-python -w "$wheels" "llama-cpp-python==$llama"
  fi
  "$PEERS_HOME/venv/bin/pip" install -q --no-deps diskcache==5.6.3 "$wheels"/llama_cpp_python-"$llama"-*.whl
fi
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
