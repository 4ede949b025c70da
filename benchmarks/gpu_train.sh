#!/bin/sh
# Train for a while on a lent GPU: resumes from FOLDER, and stops in time with a checkpoint.
#
#   benchmarks/gpu_train.sh SECONDS FOLDER RECIPE PACK[@SHARE] ... [--start-from NAME]
#
# PACKs come from `vdsr data pack`. The package need not be installed: src/ beside this
# folder is used. Exit code 0 also when time ran out: the same command then goes on.
set -eu
if [ $# -lt 4 ]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
seconds=$1
shift
code=0
PYTHONPATH="$here/../src${PYTHONPATH:+:$PYTHONPATH}" \
    timeout --signal=TERM --kill-after=60 "$seconds" \
    "${PYTHON:-python3}" "$here/gpu_train.py" "$@" || code=$?
# 124: timeout sent its signal; there is a checkpoint, if it had begun to train.
[ "$code" -eq 124 ] && code=0
exit "$code"
