"""What a dataset is: schemas, store, publishing, readers, tables, and the embedded procedural world."""

from data import torchvision_compat

torchvision_compat.install()
