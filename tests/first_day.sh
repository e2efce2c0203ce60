#!/usr/bin/env bash
# The first day of a new user, by what README says alone: an empty home folder and caches, a fresh clone, two environments.
# usage: tests/first_day.sh [FOLDER]   keeps FOLDER/first_day.log; some five minutes and 6 GB, most of it torch
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mkdir -p "${1:-build/first_day}" && cd "${1:-build/first_day}" && pwd)
rm -rf "$folder/home" "$folder/showtell"
mkdir -p "$folder/home"
exec > >(tee "$folder/first_day.log") 2>&1

# Nothing of the caller's but the search path, and where pip is to look.
mapfile -t pip_settings < <(env | grep '^PIP_' || true)
fresh() {
  (cd "$folder/showtell" && env -i "${pip_settings[@]}" HOME="$folder/home" PATH="$PATH" LANG=C.UTF-8 "$@")
}
step() {
  echo
  echo "== $SECONDS s: $*"
  fresh "$@"
}

git clone --quiet "$repository" "$folder/showtell"
step make demo
light=.venv-light/bin/showtell
step $light --version
step $light doctor
step $light caption examples/dog.jpg --lang de
step $light caption examples/dog.jpg --num 3
step $light caption examples --output captions.jsonl
step head -n 1 captions.jsonl
step $light caption examples/dog.jpg --attention pictures
step ls pictures
step $light recipes

fresh python3 -m venv env
step env/bin/pip install --quiet --disable-pip-version-check '.[train]'
full=env/bin/showtell
step $full train shapes --dry-run
step $full train shapes
step $full export runs/shapes my-model
step $full evaluate --model my-model --data shapes:200 --split test
step $full caption examples/dog.jpg --model my-model
echo
echo "== $SECONDS s: done; the log is in $folder/first_day.log"
