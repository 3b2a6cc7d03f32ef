"""What a model forgot and what it broke: embeddings, metrics, unlearning methods, diagnosis, leaderboard, report."""

import data  # noqa: F401  its import hook must stand before open_clip imports torchvision
