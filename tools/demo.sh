#!/bin/bash
# make demo: every shipped model names every shipped picture, then its time alone and the kernels that ran it.
#
#   tools/demo.sh FOLDER_OF_EDGERT
set -euo pipefail
edgert=$1/edgert
for model in models/*/*.bin; do
  printf '\n%s\n' "--- edgert run $model models/pictures --top 2"
  "$edgert" run "$model" models/pictures --top 2
  printf '\n%s\n' "--- edgert bench $model"
  "$edgert" bench "$model"
done
