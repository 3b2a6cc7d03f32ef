"""Training of the embedded analysis models in data/models/: a face pack for insightface and a small CLIP, on procedural
faces."""
