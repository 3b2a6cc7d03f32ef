"""What the UI shows is a view only: its failure does not fail a run. Every card carries the run's name."""

import io
import re
from urllib.request import urlopen

import pytest
from PIL import Image
from small_run import small_run

from salmu.data.errors import UserError
from salmu.data.summary import Summary
from salmu.flows.running import artifacts, cards
from salmu.flows.running.progress import in_words, lines, shown_progress


def refuse(**content):
    raise ConnectionError("the server\nis away")


@pytest.fixture
def shown(monkeypatch) -> dict[str, str]:
    """Key of a card -> its Markdown now; no server is asked."""
    found, ids = {}, {}

    def create(key, markdown, description):
        found[key], ids[len(ids)] = markdown, key
        return len(ids)  # never 0

    monkeypatch.setattr(artifacts, "create_markdown_artifact", create)
    monkeypatch.setattr(cards, "update_card", lambda artifact, key, markdown: found.update({key: markdown}))
    monkeypatch.setattr(cards, "links", lambda run: {"portraits": "[portraits](../artifact/17)"})
    return found


def test_what_cannot_be_shown_is_told_in_one_line_and_the_server_is_left_alone_for_a_while(monkeypatch, capsys):
    tries = []
    monkeypatch.setattr(artifacts, "create_markdown_artifact", lambda **content: tries.append(content) or refuse())
    monkeypatch.setattr(artifacts, "create_progress_artifact", refuse)
    monkeypatch.setattr(artifacts, "SHOWN_AFTER", 0.0)
    monkeypatch.setattr(artifacts, "TOLD_EVERY", 0.0)
    monkeypatch.setattr(artifacts, "_failures", {"lost": 0, "again": 0.0})
    artifacts.show_card("mine", "captions", "# captions", "captions")
    artifacts.show_card("mine", "personas", "# personas", "personas")
    artifacts.Progress("mine", "captions", 0, 10).advance(5)
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "mine-captions" in told and "the server is away" in told
    assert len(tries) == 1 and artifacts._failures["lost"] == 3


def test_keys_carry_the_runs_name_and_fit_prefect():
    assert artifacts.artifact_key("My_run", "Training of clean") == "my-run-training-of-clean"
    strange = [artifacts.artifact_key(name, "captions") for name in ("опыт", "проба")]
    assert len(set(strange)) == 2 and all(re.fullmatch(r"[a-z0-9-]+", key) for key in strange)


def test_a_transparent_picture_is_shown_on_white():
    sink = io.BytesIO()
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(sink, "PNG")
    url = re.fullmatch(r"!\[loss\]\((data:image/png;base64,.*)\)", artifacts.picture(sink.getvalue(), "loss"))[1]
    with urlopen(url) as content:
        assert Image.open(io.BytesIO(content.read())).convert("RGB").getpixel((4, 4)) == (255, 255, 255)


def test_a_stage_is_one_card_with_counts_tables_and_lineage(shown, tmp_path):
    store = small_run(tmp_path / "mine", per_identity=2)
    rows = [{"name": f"a|b {number}", "rows": number} for number in range(cards.MOST_ROWS + 1)]
    cards.show_stage("curation", store, Summary("All good.", {"Rules": rows}), cached=0)
    assert list(shown) == ["mine-curation"]
    text = shown["mine-curation"]
    assert "All good." in text and r"| a\|b 7 | 7 |" in text and "*50 of 51 rows*" in text
    assert "| writes | curation |" in text and "| read by | personas |" in text


def test_the_overview_says_what_the_run_holds_and_how_the_flow_ended(shown, tmp_path):
    store = small_run(tmp_path / "mine", per_identity=2)
    with pytest.raises(UserError), cards.shown_run(store):
        assert "State: under way." in shown["mine-overview"]
        store.write_manifest(store.manifest("captions").model_copy(update={"complete": False, "planned": 9}))
        cards.refresh_overview()
        assert "| captions | 1 of 9 shards |" in shown["mine-overview"]
        raise UserError("captions: no server at *that* address")
    text = shown["mine-overview"]
    assert r"**stopped**: captions: no server at \*that\* address" in text
    assert "| [portraits](../artifact/17) | complete | 16 | 1 |" in text and "| candidates | not begun |" in text


def test_where_there_is_no_terminal_a_line_a_minute_tells_what_is_done_and_what_is_left():
    told, now = [], [0.0]
    show = lines("training of clean", "steps", told.append, clock=lambda: now[0])
    for done in range(100, 401, 2):  # 100 were done by an earlier sitting; two steps a second
        show(done, 4000)
        now[0] += 1
    assert told == [
        "training of clean: 220 of 4,000 steps, about 32 min left",
        "training of clean: 340 of 4,000 steps, about 30 min left",
    ]
    show(4000, 4000)
    assert len(told) == 2
    assert [in_words(seconds) for seconds in (45, 200, 7230)] == ["45 s", "3 min", "2 h 0 min"]


def test_work_that_fails_takes_its_progress_card_with_it(monkeypatch):
    cards_now = {}
    monkeypatch.setattr(artifacts, "SHOWN_AFTER", 0.0)
    monkeypatch.setattr(artifacts, "TOLD_EVERY", 0.0)
    create = lambda key, progress, description: cards_now.update({key: progress}) or key  # noqa: E731
    monkeypatch.setattr(artifacts, "create_progress_artifact", create)
    monkeypatch.setattr(artifacts.Progress, "close", lambda self: cards_now.clear())
    with pytest.raises(UserError), shown_progress("mine", "evaluation of clean", "images") as show:
        show(3, 4)
        assert cards_now == {"mine-evaluation-of-clean-progress": 75.0}
        raise UserError("no image")
    assert cards_now == {}
