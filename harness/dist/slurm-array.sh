#!/bin/bash
# A hunt on a Slurm cluster: an array, each of whose tasks runs one shard.
#
#   sbatch --array=1-64 slurm-array.sh                        64 shards, options as below
#   sbatch --array=1-64 slurm-array.sh --seeds 1000000        others
#   sbatch --array=1-64%8 slurm-array.sh                      8 at a time
#
# The array has to be without holes (1-64, 0-63 or 0-62:2, but not 1,5,7): each task computes from its number and from
# how many there are which seeds are its own. To run a lost one again: --shard K/N for its number K.
#
# Afterwards: harness merge "$RESULTS", for instance as a job of its own with --dependency=afterany:JOBID.

#SBATCH --job-name=vivarium-hunt
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=512M
#SBATCH --time=02:00:00
#SBATCH --output=vivarium-hunt-%A_%a.log
# Two minutes before the time is up: the hunt then writes its results and ends.
#SBATCH --signal=TERM@120

set -euo pipefail

results="${RESULTS:-$PWD/vivarium-hunt-${SLURM_ARRAY_JOB_ID:?run me with sbatch --array=1-N}}"
if [ $# -eq 0 ]; then
    set -- --profile nightly
fi
# exec: the signal is for the hunt, not for this shell.
exec "${HARNESS:-harness}" hunt --jobs "${SLURM_CPUS_PER_TASK:-1}" --out "$results" "$@"
