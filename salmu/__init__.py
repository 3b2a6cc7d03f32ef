"""SALMU: make a dataset of fictitious people, train CLIP models on it, and measure what unlearning forgets."""

from salmu.data import torchvision_compat

torchvision_compat.install()
