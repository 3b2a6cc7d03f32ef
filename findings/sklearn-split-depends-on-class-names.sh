#!/usr/bin/env bash
# scikit-learn 1.9.1: train_test_split(stratify=...) puts other rows into the test set when the classes are renamed,
# with the same random_state. So do StratifiedShuffleSplit, GroupShuffleSplit with other group names, and
# resample(stratify=...).
#
# Guess before the run: the same rows; the names only say which rows belong together. StratifiedKFold promises that.
# Seen: classes and groups are drawn in alphabetical order, so the rows change as soon as a new name sorts elsewhere.
# Names that sort alike, such as 0 and "p00", change nothing.
# It matters when a split is made again from its seed: renaming f and m to female and male keeps it, woman and man do
# not; pseudonyms for the people in a group split move people from test to train. Publish the rows of a split, not its
# seed, or pass numbers in order of first appearance (pandas.factorize).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sklearn
from sklearn.model_selection import GroupShuffleSplit, StratifiedKFold, StratifiedShuffleSplit, train_test_split
from sklearn.utils import resample

NAMES = {"plain": ("f", "m"), "alike in order": ("female", "male"), "other order": ("woman", "man")}
rows = list(range(60))


def first_test(splitter, **names):
    return next(splitter.split(rows, **names))[1].tolist()


def splits(female, male):
    names = [(female, male)[row % 2] for row in rows]
    people = [f"{names[row]} {row // 6}" for row in rows]
    return {
        "train_test_split": train_test_split(rows, stratify=names, random_state=0)[1],
        "StratifiedShuffleSplit": first_test(StratifiedShuffleSplit(random_state=0), y=names),
        "GroupShuffleSplit": first_test(GroupShuffleSplit(random_state=0), groups=people),
        "resample": resample(rows, stratify=names, random_state=0),
        "StratifiedKFold": first_test(StratifiedKFold(shuffle=True, random_state=0), y=names),
    }


found = {kind: splits(*names) for kind, names in NAMES.items()}
print("scikit-learn", sklearn.__version__)
for kind, names in NAMES.items():
    print(kind, names, found[kind]["train_test_split"])
same = {name for name, test in found["plain"].items() if test == found["other order"][name]}
print("the same rows under names that sort in another order:", same)
assert found["plain"] == found["alike in order"]
assert same == {"StratifiedKFold"}
PYTHON
