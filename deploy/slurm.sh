#!/bin/bash
# tane on SLURM: `submit` hands in a chain of jobs, each of which begins when the one before has succeeded.
#
#   NODES=2 GPUS=8 PARTS=16 bash deploy/slurm.sh submit RECIPE [--section.field VALUE ...]
#   NODES=2 GPUS=8 bash deploy/slurm.sh submit-train RECIPE ...     (the data are there, or rank 0 makes them)
#
# `tane` must be on the PATH (activate its environment first), data_dir and run_dir on a file system that all
# nodes share. Account, partition and times go to sbatch by its own variables: SBATCH_ACCOUNT, SBATCH_TIMELIMIT.
#
# srun starts one process a GPU. torchrun is not used: it would turn the exit code 75 of its workers into 1, and
# kill them 30 seconds after a signal. Two minutes before the time limit, and before a preemption, SLURM sends
# SIGTERM: all ranks save, exit with 75, and the job goes back into the queue, to go on from there.
#SBATCH --job-name=tane
#SBATCH --output=%x-%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=TERM@120
set -euo pipefail
stage=${1:?submit or submit-train, then RECIPE}
shift

last=
submit() { last=$(sbatch --parsable ${last:+--dependency=afterok:$last} "${@}"); }

case $stage in
submit | submit-train)
    here=$(realpath "$0") one="--nodes=1 --ntasks=1 --cpus-per-task=${CPUS:-8}" array=--array=1-${PARTS:-8}
    if [ "$stage" = submit ]; then
        submit $one $array "$here" part "$@"  # reads the text
        submit $one "$here" join "$@"         # corpus and tokenizer
        submit $one $array "$here" part "$@"  # tokenises
        submit $one "$here" prepare "$@"
    fi
    submit --nodes="${NODES:-1}" --ntasks-per-node="${GPUS:-8}" --gpus-per-node="${GPUS:-8}" \
        --cpus-per-task="${CPUS:-8}" "$here" train "$@"
    echo "$last"
    exit
    ;;
part) command=(tane prepare "$@" --part "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT") ;;
join) command=(tane prepare "$@" --join) ;;
prepare) command=(tane prepare "$@") ;;
train)
    MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
    export MASTER_ADDR MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000)) OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
    command=(bash -c 'export RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID
        export LOCAL_WORLD_SIZE=$SLURM_NTASKS_PER_NODE
        exec tane train "$@"' train "$@") # exec: the signal must reach Python
    ;;
*)
    echo "unknown stage $stage" >&2
    exit 2
    ;;
esac

code=0
srun --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" "${command[@]}" || code=$?
# a job that somebody cancelled is not RUNNING any more, and stays ended
if [ $code = 75 ] && [ "$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T)" = RUNNING ]; then
    exec scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
