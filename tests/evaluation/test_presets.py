"""Settings under one name: they are those that were judged, and what is given goes before them."""

import json
import re
from pathlib import Path

import pytest

from salmu.data.errors import UserError
from salmu.data.settings import validate
from salmu.evaluation.unlearning.registry import get

PROTOCOL = Path(__file__).parents[2] / "benchmarks" / "protocol.md"
Settings = get("as_retrained").settings


def test_the_preset_has_the_settings_that_the_protocol_committed_to():
    note = PROTOCOL.read_text(encoding="utf-8").split("**Twelfth note")[1]
    judged = json.loads(re.search(r"\{.*?\}", note, re.DOTALL)[0])
    preset = validate(Settings, {"preset": "precise", "budget": 20}, "test").model_dump()
    assert preset | {"preset": None} == validate(Settings, judged, "test").model_dump()


def test_what_is_given_goes_before_the_preset_and_the_record_lists_both():
    settings = validate(Settings, {"preset": "precise", "hold": 3, "faces": 0.9}, "test")
    assert (settings.hold, settings.faces, settings.level) == (3, 0.9, 0.541)
    assert {"preset", "hold", "level"} <= set(settings.not_default()) and "faces" not in settings.not_default()
    assert validate(Settings, settings.model_dump(), "test") == settings


@pytest.mark.parametrize("name", ["exact", 1, ["precise"]])
def test_an_unknown_preset_is_refused_in_one_line(name):
    with pytest.raises(UserError, match=r"preset: input should be 'precise'"):
        validate(Settings, {"preset": name}, "test")
