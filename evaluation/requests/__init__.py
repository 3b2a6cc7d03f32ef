"""Erasure requests: a model that forgets request after request, with evidence and a receipt of each."""
