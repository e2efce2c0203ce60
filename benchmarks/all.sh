#!/bin/sh
# Every figure of docs/performance.md, in about a quarter of an hour on two idle cores. From the top of the repository:
#
#     sh benchmarks/all.sh [FOLDER_OF_PHOTOS]
#
# PYTHON names the interpreter, with the extras train, hub and openvino. Each script also appends to benchmarks/results/.
set -eu
photos=${1:-../shared/flickr8k/images}
python=${PYTHON:-python}

"$python" benchmarks/peers.py all --photos "$photos"
"$python" benchmarks/stage_picture.py --photos "$photos"
"$python" benchmarks/growth.py all || echo "growth.py: see above"
"$python" -m showtell bench "$photos"
