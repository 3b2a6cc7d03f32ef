"""What a model forgot and what it broke: embeddings, metrics, unlearning methods, diagnosis, leaderboard, report."""
