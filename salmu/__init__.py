"""SALMU: make a dataset of fictitious people, train CLIP models on it, and measure what unlearning forgets."""

from salmu.data import torchvision_compat

__version__ = "0.1.0"
torchvision_compat.install()
