#!/bin/sh
# The tests of figures under the kernels of one CPU after another: instruction sets of torch (ATen), oneDNN, MKL and
# OpenBLAS, and numbers of threads. A library asked for more than the CPU has takes what there is.
#
#     tests/kernels.sh PYTHON [PATHS AND OPTIONS FOR PYTEST ...]
set -u
python=$1
shift
[ $# -gt 0 ] || set -- tests/nets tests/export tests/train tests/core tests/test_grid.py tests/test_overfit.py

failed=0
while read -r aten onednn mkl openblas threads; do
    kernels="ATen $aten, oneDNN $onednn, MKL $mkl, OpenBLAS $openblas, $threads threads"
    echo "== $kernels"
    ATEN_CPU_CAPABILITY=$aten ONEDNN_MAX_CPU_ISA=$onednn MKL_ENABLE_INSTRUCTIONS=$mkl OPENBLAS_CORETYPE=$openblas \
        OMP_NUM_THREADS=$threads "$python" -m pytest -q -p no:cacheprovider "$@" </dev/null ||
        { failed=1; echo "FAILED under $kernels"; }
done <<END
default SSE41       SSE4_2 Prescott 1
avx2    AVX2        AVX2   Haswell  2
avx512  AVX512_CORE AVX512 SkylakeX 4
default AVX512_CORE SSE4_2 SkylakeX 4
avx512  SSE41       AVX512 Prescott 2
END
exit $failed
