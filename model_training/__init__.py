"""The Clean and Compromised pair, and the small models that the stages carry: retain sources, training, export."""

import data  # noqa: F401  its import hook must stand before open_clip imports torchvision
