"""The metrics: one file a family, array work on embeddings."""
