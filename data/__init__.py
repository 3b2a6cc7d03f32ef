"""What a dataset is: schemas, store, publishing, readers, tables, and the embedded procedural world."""
