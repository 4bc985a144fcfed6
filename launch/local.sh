#!/usr/bin/env bash
# One training by several processes on this machine: one a GPU, or several on the CPU to try things.
#
#   launch/local.sh N deepecg pretrain CONFIG.yaml [key=value ...]
#
# Process i gets GPU i if there are at least N. PORT chooses the port of process 0 (default: a free
# one). Ctrl-C or SIGTERM: all save and stop with exit code 3; the same command resumes.
set -uo pipefail

if [ $# -lt 2 ] || ! [ "$1" -ge 1 ] 2>/dev/null; then
  sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
count=$1
shift

port=${PORT:-$(python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')}
gpus=0
if [ "${JAX_PLATFORMS:-}" != cpu ] && command -v nvidia-smi >/dev/null; then
  gpus=$(nvidia-smi --list-gpus | wc -l)
fi

pids=()
for ((i = 0; i < count; i++)); do
  (
    export DEEPECG_COORDINATOR=localhost:$port DEEPECG_PROCESSES=$count DEEPECG_PROCESS_ID=$i
    if [ "$gpus" -ge "$count" ]; then
      export JAX_LOCAL_DEVICE_IDS=$i
    fi
    exec "$@"
  ) &
  pids+=($!)
done

# the processes tell each other; a second signal to one that saves would only hurry it
trap 'kill -TERM "${pids[@]}" 2>/dev/null' TERM INT

code=0
for pid in "${pids[@]}"; do
  while kill -0 "$pid" 2>/dev/null; do
    wait "$pid" # returns early when a signal was passed on
  done
  wait "$pid"
  ended=$?
  if [ "$code" -eq 0 ]; then code=$ended; fi
done
exit "$code"
