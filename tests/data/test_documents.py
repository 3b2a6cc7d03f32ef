"""YAML and JSON of others: read, or refused in one line that names the file."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from salmu.data.documents import loaded, parse_yaml, read_lines, read_yaml
from salmu.data.errors import UserError
from salmu.data.settings import Settings, validate
from salmu.flows.settings import load_profile, load_run, parse_assignment, save

NO_SETTINGS = {
    "latin-1": "name: M\u00fcller".encode("latin-1"),
    "utf-16": "seed: 1".encode("utf-16"),
    "no such date": b"publish: {released: 2024-02-30}",
    "no number": b"seed: 0b_",
    "a number of 5,000 digits": b"seed: " + b"9" * 5000,
    "deep": b"[" * 60,
    "alias": b"a: &a [1]\nb: *a",
    "key twice": b"seed: 1\nseed: 2",
    "tag": b"!!python/name:os.getcwd {}",
    "no truth": b"seed: !!bool x",
    "no time": b"seed: !!timestamp foo",
    "empty number": b'seed: !!int ""',
    "tag of a list": b"seed: !mine [1]",
    "beyond all floats": b"seed: 1" + b":59" * 200 + b".0",
    "two documents": b"a: 1\n---\nb: 2",
    "tab": b"a:\n\t- 1",
    "control character": b"a: \x01",
    "long": b"#" * (2**20 + 1),
}


@pytest.mark.parametrize("content", NO_SETTINGS.values(), ids=NO_SETTINGS)
def test_a_profile_that_is_no_yaml_is_refused_in_one_line(content, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match="mine.yaml: (not|1,048,577 bytes)") as error:
        load_profile(str(path))
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    "value", ["2024-02-30", "0b_", "9" * 5000, "[" * 60, "*a", "{a: 1, a: 2}", "!!bool x", '!!float ""']
)
def test_a_value_of_set_that_is_no_yaml_is_refused_in_one_line(value):
    with pytest.raises(UserError, match=r"--set publish.released=.*: not valid YAML") as error:
        parse_assignment(f"publish.released={value}")
    assert len(str(error.value)) < 600


def test_a_yaml_error_names_the_place_and_not_the_line():
    with pytest.raises(UserError, match="x: not valid YAML: .* in line 2, column") as error:
        parse_yaml("a: 1\nkey: sk-hunter2: [", "x")
    assert "hunter2" not in str(error.value)


def test_a_secret_beyond_what_a_message_shows_is_taken_out_before_the_cut():
    class Numbers(Settings):
        number: int = 0

    with pytest.raises(UserError, match="number: ") as error:
        validate(Numbers, {"number": f"http://bob:hunter2{'x' * 400}@host/v1"}, "x")
    assert "hunter2" not in str(error.value)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"\xef\xbb\xbfseed: 1")
    assert read_yaml(tmp_path / "mine.yaml") == {"seed": 1}


def test_settings_that_are_kept_are_read_again(tmp_path):
    settings = load_profile("tiny")
    save(settings, tmp_path)
    assert load_run(tmp_path) == settings


PLAIN = st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["C"]))


@given(st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text("abc", min_size=1), inner)))
def test_what_yaml_writes_is_read_as_it_was(value):
    assert parse_yaml(yaml.safe_dump(value), "") == value


class Numbers(BaseModel):
    a: float


@given(st.binary(max_size=200))
def test_whatever_the_bytes_it_is_yaml_or_one_line(content):
    try:
        parse_yaml(content, "it")
    except UserError as error:
        assert str(error).startswith("it: ")


@pytest.mark.parametrize(
    "content",
    [b"", b"[1", b"[" * 10_000, b'{"a": NaN}', b'{"a": "x"}', b'{"a": "\\ud800"}', b"[]", "{}".encode("utf-16")],
    ids=["empty", "cut", "deep", "nan", "type", "half a character", "list", "utf-16"],
)
def test_json_that_is_no_such_document_is_refused_in_one_line(content, tmp_path):
    path = tmp_path / "it.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="it.json: ") as error:
        loaded(path, Numbers)
    assert len(str(error.value)) < 400
    path.write_bytes(b'{"a": 1}')
    assert loaded(path, Numbers).a == 1


def test_a_missing_document_a_folder_in_its_place_and_one_that_is_too_long(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UserError, match="no such file|cannot be read"):
            loaded(path, Numbers)
        with pytest.raises(UserError, match="no such file|cannot be read"):
            read_yaml(path)
    (tmp_path / "long.json").write_text('{"a": 1}')
    with pytest.raises(UserError, match="8 bytes are more than such a file has"):
        loaded(tmp_path / "long.json", Numbers, limit=7)


def test_lines_of_objects_are_given_as_they_stand_and_a_damaged_one_is_named_by_its_number(tmp_path):
    path = tmp_path / "it.jsonl"
    path.write_text('{"a": 1, "b": 2}\n{"a": 3}\n')
    assert read_lines(path, Numbers) == [{"a": 1, "b": 2}, {"a": 3}]
    for line in ("[]", '{"a": "x"}', '{"a": 3', "[" * 10_000):
        path.write_text(f'{{"a": 1}}\n{line}\n')
        with pytest.raises(UserError, match="it.jsonl, line 2: "):
            read_lines(path, Numbers)
