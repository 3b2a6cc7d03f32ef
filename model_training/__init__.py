"""The Clean and Compromised pair, and the small models that the stages carry: retain sources, training, export."""
