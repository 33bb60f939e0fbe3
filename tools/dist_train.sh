#!/usr/bin/env bash
# bash tools/dist_train.sh CONFIG PROCESSES [arguments of train.py]; several machines: NNODES, NODE_RANK, MASTER_ADDR
set -euo pipefail
config=${1:?usage: dist_train.sh CONFIG PROCESSES [ARGS]}
processes=${2:?usage: dist_train.sh CONFIG PROCESSES [ARGS]}
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$processes" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "${@:3}"
