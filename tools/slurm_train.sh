#!/usr/bin/env bash
# bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of train.py]; GPUS, GPUS_PER_NODE, CPUS_PER_TASK, SRUN_ARGS
# --resume is given: called from a batch job that slurm requeues (sbatch --requeue), the run goes on where it was
set -euo pipefail
partition=${1:?usage: slurm_train.sh PARTITION JOB_NAME CONFIG [ARGS]}
job_name=${2:?usage: slurm_train.sh PARTITION JOB_NAME CONFIG [ARGS]}
config=${3:?usage: slurm_train.sh PARTITION JOB_NAME CONFIG [ARGS]}
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
# shellcheck disable=SC2086
exec srun -p "$partition" --job-name="$job_name" \
    --gres="gpu:$per_node" --ntasks="$gpus" --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$(dirname "$0")/train.py" "$config" --launcher slurm --resume "${@:4}"
