#!/bin/bash
# make demo: every shipped classifier names every shipped picture, then its time alone and the kernels that ran it; the
# shipped language model goes on with a prompt.
#
#   tools/demo.sh FOLDER_OF_EDGERT
set -euo pipefail
edgert=$1/edgert
for model in models/*/*_int8.bin; do
  printf '\n%s\n' "--- edgert run $model models/pictures --top 2"
  "$edgert" run "$model" models/pictures --top 2
  printf '\n%s\n' "--- edgert bench $model"
  "$edgert" bench "$model"
done
printf '\n%s\n' '--- edgert run models/shakespeare/shakespeare_int4.bin --prompt ROMEO: --seed 0'
"$edgert" run models/shakespeare/shakespeare_int4.bin --prompt ROMEO: --seed 0
