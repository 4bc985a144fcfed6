#!/usr/bin/env bash
# One training on all hosts of a Cloud TPU VM slice.
#
#   TPU=name ZONE=europe-west4-b [PROJECT=id] launch/tpu_vm.sh COMMAND
#
#   install WHEEL                           copy a wheel to every host and install it there
#   train pretrain CONFIG.yaml key=value    start on every host, in the background
#   log                                     follow the output of the first host
#   stop                                    all hosts save and stop; `train` again resumes
#
# jax finds coordinator, number and place of the hosts in the slice's metadata. data.dir and workdir
# must be on storage that all hosts mount (Filestore, or a bucket with Cloud Storage FUSE).
set -euo pipefail

usage() {
  sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

if [ -z "${TPU:-}" ] || [ -z "${ZONE:-}" ] || [ $# -lt 1 ]; then usage; fi
where=(--zone "$ZONE")
if [ -n "${PROJECT:-}" ]; then where+=(--project "$PROJECT"); fi

# on WORKER COMMAND: run a shell command on one host (a number) or on all
on() {
  gcloud compute tpus tpu-vm ssh "$TPU" "${where[@]}" --worker="$1" --command="$2"
}

case $1 in
install)
  [ $# -eq 2 ] || usage
  gcloud compute tpus tpu-vm scp "$2" "$TPU": "${where[@]}" --worker=all
  on all "python3 -m venv ~/deepecg-env &&
    ~/deepecg-env/bin/pip install --quiet ~/$(basename "$2")'[tpu]'"
  ;;
train)
  [ $# -ge 3 ] || usage
  shift
  # the quotes of this shell must survive the one over there
  arguments=$(printf '%q ' "$@")
  on all "if [ -e ~/deepecg.pid ] && kill -0 \$(cat ~/deepecg.pid) 2>/dev/null; then
      echo 'a training runs here already; stop it first' >&2; exit 2
    fi
    nohup ~/deepecg-env/bin/deepecg $arguments >> ~/deepecg.log 2>&1 < /dev/null &
    echo \$! > ~/deepecg.pid"
  ;;
log)
  on 0 'tail -n 50 -F ~/deepecg.log'
  ;;
stop)
  on all "kill -TERM \$(cat ~/deepecg.pid)"
  ;;
*)
  usage
  ;;
esac
