#!/usr/bin/env bash
# All that needs a GPU, for a machine with one GPU and no network: tests, benchmarks, profiles, then training.
#
#   benchmarks/gpu.sh pack KIT [SHAPES.h5]   where there is a network: put wheels and shapes into the folder KIT
#   benchmarks/gpu.sh run OUT [PART...]      on the GPU machine, in a checkout: all parts, or those named
#
# A call of 'run' ends within LIMIT seconds. The next call with the same OUT continues: it skips the parts that are
# finished, starts a part again that ran out of time, and resumes the training. OUT has a log and the exit status of
# every part, the table of the benchmarks, and the run folder of the training. Paths are relative to the checkout.
# Environment variables:
#
#   LIMIT=530        seconds of a call
#   DEVICE=cuda      cpu to try it
#   QUICK=           1 for tiny sizes, to try it; the times mean nothing
#   KIT=kit          folder made by 'pack'; not needed where the packages of setup.py are installed
#   STORE=           shape store (default: KIT/shapes.h5; if there is none, built-in shapes, which need Open3D)
#   PYTHON=python3
set -uo pipefail
cd "$(dirname "$0")/.." || exit
: "${LIMIT:=530}" "${DEVICE:=cuda}" "${QUICK:=}" "${KIT:=kit}" "${STORE:=$KIT/shapes.h5}" "${PYTHON:=python3}"
export PYTHONUNBUFFERED=1

# Requirements that are often missing in an image for training. Open3D is too large, and what lightly requires is not
# needed here.
WHEELS="ocnn trimesh lightly jsonargparse docstring-parser typeshed-client pooch platformdirs
  librosa decorator soundfile cffi pycparser soxr hypothesis sortedcontainers"

pack() { # KIT [SHAPES.h5]
  mkdir -p "$1"
  # shellcheck disable=SC2086
  "$PYTHON" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --dest "$1" \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 $WHEELS || return
  if [ -n "${2:-}" ]; then
    cp "$2" "$1/shapes.h5"
  else
    "$PYTHON" -m projects.cli prep shapes --count 10 --out "$1/shapes.h5"
  fi
}

part() { # NAME COMMAND...: run the command unless it is finished; 124 is the status after three times out of time
  local name=$1 status left=$((LIMIT - 20 - SECONDS))
  shift
  [[ -z $only || " $only " == *" $name "* ]] || return
  if [ -f "$out/$name.status" ]; then
    echo "$name: finished earlier, exit status $(cat "$out/$name.status")"
    return
  fi
  if [ "$left" -gt 30 ]; then
    echo "$name: up to $left seconds"
    timeout --signal=INT --kill-after=15 "$left" "$@" >>"$out/$name.log" 2>&1
    status=$?
    if [ "$status" -ne 124 ] && [ "$status" -ne 137 ]; then # ended by itself
      echo "$status" >"$out/$name.status"
      [ "$status" -eq 0 ] || echo "$name: exit status $status, see $out/$name.log"
    elif [ "$name" != train ]; then
      echo "$left" >>"$out/$name.timeouts"
      [ "$(wc -l <"$out/$name.timeouts")" -lt 3 ] || echo 124 >"$out/$name.status"
    fi
  fi
  [ -f "$out/$name.status" ] || unfinished+=" $name"
}

run() { # OUT [PART...]
  local benchmarks options=(--device "$DEVICE") training name precision
  out=$1 unfinished='' only="${*:2}"
  mkdir -p "$out"
  if compgen -G "$KIT/*.whl" >/dev/null; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$KIT"/*.whl || return
    export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
  fi
  export OCNN_AUTOTUNE_CACHE_PATH="$out/ocnn_autotune.json" # takes minutes the first time
  [ -z "$QUICK" ] || options+=(--quick)
  [ ! -f "$STORE" ] || options+=(--store "$STORE")

  part machine bash -c 'nvidia-smi || lscpu; "$0" -m torch.utils.collect_env; "$0" -m pip list' "$PYTHON"
  mapfile -t files < <(grep -rl 'mark\.gpu' tests --include='*.py')
  part tests "$PYTHON" -m pytest -m gpu -p no:cacheprovider "${files[@]}"
  benchmarks=$("$PYTHON" -c 'from benchmarks.__main__ import BENCHMARKS; print(*BENCHMARKS)') || return
  for name in $benchmarks; do
    part "benchmark_$name" "$PYTHON" -m benchmarks "$name" "${options[@]}" --out "$out/benchmarks"
  done
  for precision in fp32 tf32 bf16; do
    part "profile_$precision" "$PYTHON" -m benchmarks.profile_step --precision "$precision" "${options[@]}"
  done
  training=(--config shapenet_rq --trainer.precision bf16-mixed --checkpoint.every_n_train_steps 20)
  [ -z "$QUICK" ] || training=(--config tiny --trainer.max_epochs 1)
  [ -f "$STORE" ] || STORE=builtin
  part train "$PYTHON" -m projects.cli pretrain shapes "${training[@]}" --data.store "$STORE" --out "$out/train" \
    --resume last --trainer.enable_progress_bar false
  if [ -n "$unfinished" ]; then
    echo "not finished:$unfinished; run the same command again"
  fi
  ! cat "$out"/*.status 2>/dev/null | grep -qvx 0 # fails if a part has failed
}

command=${1:-}
if [[ ! $command =~ ^(pack|run)$ ]] || [ $# -lt 2 ]; then
  sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' benchmarks/gpu.sh
  exit 2
fi
"$command" "${@:2}"
