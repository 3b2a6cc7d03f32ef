"""Make the embedded analysis models anew: python -m salmu.model_training.analysis_models --out data/models

Draws procedural people, renders their portraits, trains the face pack (detector, recogniser, gender and age) and the
small CLIP, measures them on further people, and writes faces/, clip/ and measured.json below --out. It computes on one
thread, so on the same kind of processor with the same releases of torch, onnx and tokenizers it gives the same files
bit for bit; elsewhere the last digits differ, and the measured figures agree to about 0.01. About 15 minutes of one
core; --workers 2 halves that and changes no file."""

import argparse
from pathlib import Path

from salmu.model_training.analysis_models.build import make


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m salmu.model_training.analysis_models", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for faces/, clip/ and measured.json")
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--people", type=int, default=640, help="identities to train on")
    parser.add_argument("--views", type=int, default=3, help="portraits of each, in addition to the anchor")
    parser.add_argument("--effort", type=float, default=1.0, help="factor on all numbers of training steps")
    parser.add_argument("--workers", type=int, default=1, help="processes that render, then train")
    parser.add_argument(
        "--cache", type=Path, help="folder that keeps the rendered portraits; remove it when data/procedural changes"
    )
    arguments = parser.parse_args()
    make(**vars(arguments))


if __name__ == "__main__":
    main()
