#!/usr/bin/env bash
# Captions the inputs into $OUTPUT on the Ray cluster that it runs on, with $WORKERS workers of $THREADS threads (2), and
# gives the command again until every input has a row. What is done stays done: the ledger is beside the output. Then,
# where $UPLOAD names a place in object storage, copies the output there.
#
#   OUTPUT=/output/captions.parquet WORKERS=80 bash caption.sh s3://bucket/photos/
set -uo pipefail
: "${OUTPUT:?expected the place of the captions, on a disk that outlives this machine}"
: "${WORKERS:?expected the number of workers}"
if [ $# -eq 0 ]; then
  echo "caption.sh: found no inputs; expected names such as 's3://bucket/shards/*.tar'" >&2
  exit 2
fi

upload() {
  [ -n "${UPLOAD:-}" ] || return 0
  python3 - "$OUTPUT" "$UPLOAD" <<'PYTHON'
import sys
from pathlib import Path

from fsspec.core import url_to_fs

output, target = sys.argv[1:]
system, path = url_to_fs(target)
end = "/" if Path(output).is_dir() else ""  # its contents, not the folder into the folder
system.put(output + end, path + end, recursive=bool(end))
PYTHON
}

tries=${TRIES:-20} pause=${PAUSE_SECONDS:-30}
for ((try = 1; try <= tries; try++)); do
  showtell caption "$@" --output "$OUTPUT" --engine ray --ray-address auto --workers "$WORKERS" \
    --threads "${THREADS:-2}"
  code=$?
  # 1: some photos have no caption, but all have a row: the ledger's last line says that the run is finished. Else Python
  # has ended by an error that nobody foresaw.
  if [ $code -eq 0 ] || { [ $code -eq 1 ] && tail -n 1 "$OUTPUT.ledger/ledger.jsonl" | grep -q '{"finished"'; }; then
    upload && exit 0
    code=4
  fi
  # Wrong usage, an output that takes no more, a signal to stop: the same command would end in the same way.
  case $code in 2 | 3 | 130 | 143) exit $code ;; esac
  echo "caption.sh: ended with code $code; try $try of $tries" >&2
  sleep "$pause"
done
exit $code
