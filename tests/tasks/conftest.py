"""Fixtures of the stages' tests."""

import numpy as np
import pytest
from candidate_pictures import face

from salmu.tasks.candidates import measure


@pytest.fixture
def finds(monkeypatch):
    """Lets a test decide what the face pack finds: finds(face, ..., says=(gender, age))."""

    def found(*faces, says=(None, None)):
        monkeypatch.setattr(measure, "detect_faces", lambda pack, image: list(faces))
        monkeypatch.setattr(measure, "gender_and_age", lambda pack, image, face: says)

    monkeypatch.setattr(measure, "crop_size", lambda pack: 112)
    monkeypatch.setattr(measure, "recognise", lambda pack, crops: np.eye(512)[: len(crops)])
    found(face())
    return found
