#!/usr/bin/env bash
# albumentations 2.0.8: whole numbers in label_fields come back rounded to single precision: 123456789, 123456790 and
# 123456791 all become 123456792. The same happens beside keypoints, and when no transform touches the picture.
#
# Guess before the run: labels are carried along and come back as they were given; only the boxes are computed.
# Seen: as above, without a warning, from 16,777,217 on. In a list the number comes back as a float; an array of int64
# comes back as int64 with another number in it. The same digits as text come back right.
# It matters where each box or landmark carries the number of its annotation or of its person: neighbouring numbers
# become one, so two people are one person after the augmentation, and the numbers no longer lead back to the table.
# Give the numbers as text, or give 0, 1, 2, ... and look the numbers up afterwards.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile albumentations==2.0.8 albucore==0.0.24 numpy==2.4.6 \
    opencv-python-headless==5.0.0.93
NO_ALBUMENTATIONS_UPDATE=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import albumentations
import numpy as np

picture = np.zeros((100, 100, 3), np.uint8)
boxes = [[1, 1, 5, 5], [10, 10, 15, 15], [20, 20, 25, 25]]
points = [box[:2] for box in boxes]
people = [123456789, 123456790, 123456791]


def beside_boxes(numbers, transforms):
    boxed = albumentations.BboxParams(format="pascal_voc", label_fields=["numbers"])
    change = albumentations.Compose(transforms, bbox_params=boxed)
    return change(image=picture, bboxes=boxes, numbers=numbers)["numbers"]


def beside_keypoints(numbers, transforms):
    pointed = albumentations.KeypointParams(format="xy", label_fields=["numbers"])
    change = albumentations.Compose(transforms, keypoint_params=pointed)
    return change(image=picture, keypoints=points, numbers=numbers)["numbers"]


flip = [albumentations.HorizontalFlip(p=1)]
print("albumentations", albumentations.__version__)
print("given:                  ", people)
print("beside boxes:           ", beside_boxes(people, flip))
print("no transform at all:    ", beside_boxes(people, []))
print("beside keypoints:       ", beside_keypoints(people, flip))
array = beside_boxes(np.array(people), flip)
print("as an array of", array.dtype, "   ", array.tolist())
text = beside_boxes([str(person) for person in people], flip)
print("as text:                ", text)
for found in beside_boxes(people, flip), beside_boxes(people, []), beside_keypoints(people, flip):
    assert found == [123456792.0] * 3 and all(type(number) is float for number in found)
assert array.dtype == np.int64 and array.tolist() == [123456792] * 3
assert text == [str(person) for person in people]
assert beside_boxes([16777216] * 3, flip) == [16777216] * 3
assert beside_boxes([16777217] * 3, flip) == [16777216] * 3
PYTHON
