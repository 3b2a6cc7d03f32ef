"""Pictures, captions and models turned into embeddings; what a metric or a method is given."""
