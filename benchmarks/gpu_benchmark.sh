#!/bin/sh
# The benchmark and the tests of a GPU, on a machine that has one (torch with CUDA, pytest).
#
#   benchmarks/gpu_benchmark.sh [RECORD.json]
#
# The package need not be installed: src/ beside this folder is used.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
record=${1:-$here/records/$(date -u +%Y-%m-%d)-gpu.json}
PYTHONPATH="$here/../src${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH
cd "$here/.."
"${PYTHON:-python3}" -m pytest -q -p no:cacheprovider tests/parity/test_gpu.py
"${PYTHON:-python3}" -m vdsr benchmark --gpu --repeats 20 --json "$record" --overwrite
