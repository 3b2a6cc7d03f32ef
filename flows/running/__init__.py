"""How things run: stages and shards as Prefect tasks, workers, runners, locks, artifacts."""
