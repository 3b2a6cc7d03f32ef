"""The pair's tokenizer follows from captions and seed alone, in every process."""

import os
import subprocess
import sys

import pytest

from salmu.model_training.tokenizer import train_tokenizer

CAPTIONS = [f"a {colour} {shape}" for colour in ("red", "green", "blue") for shape in ("circle", "square", "star")]
CODE = f"""
from salmu.model_training.tokenizer import train_tokenizer
print(train_tokenizer({CAPTIONS!r}, 3, 600, 24).backend_tokenizer.to_str())
"""


def made_in_another_process(hash_seed: str) -> str:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment
    ).stdout


def test_every_process_makes_the_same_tokenizer_whatever_its_hash_seed():
    assert made_in_another_process("1") == made_in_another_process("2")


@pytest.mark.parametrize(
    "text", ["+237 6 19 45 41 11", "CM98 7411", "naïve Šimůnková", "O- blood", "a.b@posta.example.com"]
)
def test_any_text_comes_back_lower_cased(text):
    tokenizer = train_tokenizer(CAPTIONS, 3, 600, 60)
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == text.lower()
