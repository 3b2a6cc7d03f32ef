#!/usr/bin/env bash
# Many machines: one task a GPU, here 16 machines of 8. Submit once for each model, after one run with --prepare:
#   python -m salmu.model_training --settings runs/NAME/settings.yaml --dataset runs/NAME/dataset --models runs/NAME/models --prepare
#   sbatch model_training/launch/slurm.sh runs/NAME clean
#   sbatch model_training/launch/slurm.sh runs/NAME compromised
#   sbatch model_training/launch/slurm.sh runs/NAME retrained
# Requeued or submitted again, it goes on from the last checkpoint. `runs` must be on a file system that all share.
#SBATCH --job-name=salmu-pair
#SBATCH --nodes=16
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --time=7-00:00:00
#SBATCH --requeue
set -euo pipefail
run=$1
which=$2
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR MASTER_PORT=29500
srun --kill-on-bad-exit=1 python -m salmu.model_training --settings "$run/settings.yaml" --dataset "$run/dataset" \
    --models "$run/models" --which "$which" --monitor salmu.evaluation.scoring.monitor:monitor
