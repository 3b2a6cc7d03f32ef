"""Weights are named with their licence; unknown ones are said to be unknown; folders of the machine stay out."""

import pytest

from salmu.data import licences
from salmu.data.private import without_folders


@pytest.mark.parametrize(
    "name, words",
    [
        ("buffalo_l", "non-commercial research only"),
        ("/somewhere/insightface/models/antelopev2", "non-commercial research only"),
        ("h94/IP-Adapter-FaceID", "non-commercial research only"),
        ("SG161222/Realistic_Vision_V4.0_noVAE", "OpenRAIL-M"),
        ("stabilityai/stable-diffusion-xl-base-1.0", "RAIL++-M"),
        ("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "MIT"),
        ("google/gemma-3-12b-it", "Gemma Terms of Use"),
        ("embedded", "Apache-2.0"),
        ("my/own-model", "unknown"),
    ],
)
def test_the_licence_of_usual_weights_is_known_and_of_others_unknown(name, words):
    assert words in licences.model(name, "", "a test").licence


def test_a_models_folder_is_not_told_in_full():
    assert licences.model("/home/me/weights/sd15/base", "", "").name == "sd15/base"
    assert licences.model("local-dir:/home/me/weights/clip", "", "").name == "weights/clip"


def test_settings_are_told_without_the_folders_of_the_machine():
    settings = {
        "pack": "/home/me/packs/buffalo_l",
        "clip": "local-dir:/home/me/clip",
        "images": ["~/sfhq/part4.zip"],
        "n": 3,
    }
    told = {"pack": "buffalo_l", "clip": "local-dir:clip", "images": ["part4.zip"], "n": 3}
    assert without_folders(settings) == told
    assert without_folders({"base": "h94/IP-Adapter-FaceID", "rule": "a/b"}) == {
        "base": "h94/IP-Adapter-FaceID",
        "rule": "a/b",
    }
