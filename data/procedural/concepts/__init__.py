"""Concepts that pictures show and few captions name: invented artists, each with a look, and invented groups, each with
a sign."""
