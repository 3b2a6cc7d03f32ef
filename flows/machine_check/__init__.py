"""`salmu check`: the machine, the weights that the settings name, and one item through every engine, before a run."""
