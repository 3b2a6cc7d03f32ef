#!/usr/bin/env bash
# One machine, all its GPUs: index the retain files and write the plan once, then train Clean, Compromised and
# Retrained.
#   model_training/launch/torchrun.sh runs/NAME [GPUS]
# Killed, it goes on from the last checkpoint when it is started again.
set -euo pipefail
run=$1
gpus=${2:-$(nvidia-smi --list-gpus | wc -l)}
common=(-m salmu.model_training --settings "$run/settings.yaml" --dataset "$run/dataset" --models "$run/models")
python "${common[@]}" --prepare
for which in clean compromised retrained; do
    torchrun --standalone --nproc-per-node "$gpus" "${common[@]}" --which "$which" --monitor salmu.evaluation.scoring.monitor:monitor
done
