#!/usr/bin/env bash
# Workers of the pool salmu-gpu: one on each machine of the job, each with all GPUs of its machine and one flow run at a
# time. From the folder whose .venv holds salmu, which all machines share, with the server's address in the environment:
#   PREFECT_API_URL=http://HOST:4200/api salmu deploy
#   PREFECT_API_URL=http://HOST:4200/api sbatch --nodes 8 deploy/slurm/worker.sh
#   prefect work-pool set-concurrency-limit salmu-gpu 8
#   salmu run --profile paper --until dataset --runner workpool --workers 8
# Ended by Slurm, a worker leaves its shard to the others; submit again for more time.
#SBATCH --job-name=salmu-worker
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --mem=0
#SBATCH --time=1-00:00:00
#SBATCH --signal=TERM@120
set -euo pipefail
: "${PREFECT_API_URL:?set the address of the Prefect server, reachable from the machines}"
cd "$SLURM_SUBMIT_DIR"
# shellcheck source=/dev/null
source .venv/bin/activate
srun --kill-on-bad-exit=0 prefect worker start --pool salmu-gpu --limit 1
