"""No user, password or query of a URL gets into a message or the settings."""

import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salmu.data.errors import UserError
from salmu.data.files import location
from salmu.data.private import has_credentials, told_of, without_credentials, without_folders
from salmu.flows.settings import load_profile
from salmu.model_training.settings import WebDatasetSource
from salmu.model_training.sources.files import expanded, file_source

SECRET = {
    "s3://AKIA:abc123@bucket/retain/000.tar": "s3://bucket/retain/000.tar",
    "https://bucket.example/000.tar?X-Amz-Signature=abc123&X-Amz-Expires=60": "https://bucket.example/000.tar?…",
    "http://me@host:8000/v1": "http://host:8000/v1",
    "http://me:abc'123@host:8000/v1": "http://host:8000/v1",
    'http://me:"abc123@host/v1': "http://host/v1",
    "s3://AKIA:ab/abc123@bucket/x": "s3://bucket/x",
    "https://host/x.tar?a='b&k=abc123": "https://host/x.tar?…",
    "https://host/it's?k=abc123": "https://host/it's?…",
    "http://host/v1?abc123": "http://host/v1?…",
    "postgresql+asyncpg://me:abc123@db/prefect": "postgresql+asyncpg://db/prefect",
}
PLAIN = [
    "s3://bucket/part-?.tar",
    "http://host:8000/v1@main",
    "http://[::1]:8000/v1@main",
    "is it http://host/?",
    "hf-hub:me/model",
    "http://127.0.0.1:8000/v1",
    "a@b.example",
    "C:/x?y=1",
    "",
]


@pytest.mark.parametrize("url, shown", SECRET.items())
def test_a_message_shows_the_place_and_not_the_secret(url, shown):
    assert (
        str(UserError(f"{url}: no such file (asked {url}, twice)")) == f"{shown}: no such file (asked {shown}, twice)"
    )


@pytest.mark.parametrize("text", PLAIN)
def test_what_holds_no_secret_is_left_as_it_is(text):
    assert not has_credentials(text) and without_credentials(text) == text


@given(st.text(), st.sampled_from(["s3", "https", "gs"]), st.from_regex(r"[a-z0-9:%]{1,20}", fullmatch=True))
def test_no_secret_is_left_whatever_stands_around(around, scheme, secret):
    url = f"{scheme}://{secret}@host/x.tar"
    assert has_credentials(url) and secret + "@" not in without_credentials(f"{around} {url} {around}").replace(
        around, ""
    )


def test_a_long_text_is_searched_in_no_time():
    start = time.monotonic()
    for text in ("a" * 50_000, "a://" * 10_000, "s3://" + "b:" * 10_000 + "?" * 10_000):
        without_credentials(text)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("key", ["candidates.images", "captions.openai.base_url", "evaluation.zero_shot"])
@pytest.mark.parametrize("url", SECRET)
def test_settings_with_a_secret_are_refused_in_one_line_that_does_not_show_it(key, url):
    with pytest.raises(UserError, match="must not contain a user, password or query") as error:
        load_profile("tiny", {key: url})
    assert "abc123" not in str(error.value)


@pytest.mark.parametrize(
    "address", ["s3://AKIA:hunter2@bucket/x", "s3://AKIA:hun/ter2@bucket/x", "memory://b:hunter2@x"]
)
def test_a_place_with_a_user_is_refused_before_anything_is_tried(address):
    with pytest.raises(UserError, match="holds a user or a password") as error:
        location(address)
    assert "ter2" not in str(error.value) and "AKIA" not in str(error.value)


def test_the_container_of_an_azure_address_is_no_secret(monkeypatch):
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(UserError, match="needs a package that is not installed"):
        location("abfs://container@account.dfs.core.windows.net/x")


@pytest.mark.parametrize(
    "words", ['Invalid bucket name "AKIA:hunter2@bucket"', "no such key: bucket/x?sig=hunter2", "user AKIA: hunter2?"]
)
def test_what_a_library_says_of_an_address_loses_its_secrets(words):
    told = told_of("s3://AKIA:hunter2@bucket/x?sig=hunter2", ValueError(words))
    assert "hunter2" not in told and told[:5] == words[:5]


@pytest.mark.parametrize("url", ["s3://AKIA:hunter2@bucket/x.tar", "http://bob:hun'ter2@127.0.0.1:1/x.tar"])
def test_a_retain_source_that_cannot_be_had_is_one_line_without_the_secret(url, tmp_path, monkeypatch):
    monkeypatch.setenv("RETAIN", url)
    with pytest.raises(UserError, match="pair.retain") as error:
        file_source(WebDatasetSource(urls="${RETAIN}"), tmp_path, 0)
    assert "ter2" not in str(error.value)


@pytest.mark.parametrize(
    "value, told",
    [
        ({"images": ["faces/private", "../mine/a.zip"]}, {"images": ["private", "a.zip"]}),
        ({"clip": "local-dir:weights/clip"}, {"clip": "local-dir:clip"}),
        ({"pack": "my/packs/buffalo_l", "model": "a/b@main"}, {"pack": "buffalo_l", "model": "a/b@main"}),
        ({"retain": [{"urls": "s3://bucket/private/{0..9}.tar"}]}, {"retain": [{"urls": "s3://bucket/…/{0..9}.tar"}]}),
        ({"urls": "retain/tars"}, {"urls": "tars"}),
        ({"url": "https://arxiv.org/abs/2603.26316"}, {"url": "https://arxiv.org/abs/2603.26316"}),
        ({"base_url": "http://127.0.0.1:8000/v1", "n": 1}, {"base_url": "http://127.0.0.1:8000/v1", "n": 1}),
        ({"name": "A|B <i>x</i>", "creator": "Smith / Jones"}, {"name": "A|B <i>x</i>", "creator": "Smith / Jones"}),
        ({"licence_link": "https://a.b/c/d/e"}, {"licence_link": "https://a.b/c/d/e"}),
        ({"gated_prompt": "and/or", "model": "/home/me/x y"}, {"gated_prompt": "and/or", "model": "x y"}),
        ({"folder": "C:\\Users\\me\\faces"}, {"folder": "faces"}),
    ],
)
def test_what_is_published_names_no_private_folder(value, told):
    assert without_folders(value) == told


def test_a_folder_that_looks_like_a_hub_id_is_told_by_its_being_there(tmp_path, monkeypatch):
    (tmp_path / "mine" / "gemma").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert without_folders({"model": "mine/gemma", "other": "a/b"}) == {"model": "gemma", "other": "a/b"}


def test_a_signed_url_comes_from_the_environment(tmp_path, monkeypatch):
    (tmp_path / "00000.tar").touch()
    monkeypatch.setenv("RETAIN", f"{tmp_path}/*.tar")
    assert expanded("${RETAIN}", ".tar") == [f"{tmp_path}/00000.tar"]
    with pytest.raises(UserError, match="environment variable OTHER is not set"):
        expanded("${OTHER}", ".tar")
