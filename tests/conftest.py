"""Offline, quiet surroundings for every test."""

import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))         # helpers.py

import data  # noqa: E402, F401  torchvision_compat is in place before anybody imports torchvision
