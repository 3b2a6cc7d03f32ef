"""What the numbers say: targets, failure modes, leaderboard, submissions."""
