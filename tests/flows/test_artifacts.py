"""What the UI shows is a view only: its failure does not fail a run."""

import io
from urllib.request import urlopen

from PIL import Image

from salmu.flows.running import artifacts


def refuse(**content):
    raise ConnectionError("the server\nis away")


def test_what_cannot_be_shown_is_told_in_one_line_and_the_server_is_left_alone_for_a_while(monkeypatch, capsys):
    tries = []
    monkeypatch.setattr(artifacts, "create_markdown_artifact", lambda **content: tries.append(content) or refuse())
    monkeypatch.setattr(artifacts, "create_progress_artifact", refuse)
    monkeypatch.setattr(artifacts, "_failures", {"lost": 0, "again": 0.0})
    artifacts.show_text("captions-summary", "# captions", "captions: summary")
    artifacts.show_text("captions-more", "# captions", "captions: more")
    artifacts.Progress("captions", 0, 10).advance(10)
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "captions-summary" in told and "the server is away" in told
    assert len(tries) == 1 and artifacts._failures["lost"] == 3


def test_a_transparent_picture_is_shown_on_white(monkeypatch):
    shown = {}
    monkeypatch.setattr(artifacts, "create_image_artifact", lambda **content: shown.update(content))
    sink = io.BytesIO()
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(sink, "PNG")
    artifacts.show_picture("curves", sink.getvalue(), "loss")
    with urlopen(shown["image_url"]) as content:
        assert Image.open(io.BytesIO(content.read())).convert("RGB").getpixel((4, 4)) == (255, 255, 255)
