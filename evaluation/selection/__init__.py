"""Settings of unlearning methods chosen on a cut of the forget set, never on the benchmark itself."""
