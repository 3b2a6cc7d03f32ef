"""Builds a gallery: a folder with a page that opens offline, by a double click, and loads only what is looked at.

    index.html, *.css, *.js          the page
    data/index.js                    identities with their values, what was dropped, the words of the columns
    data/portraits.js                a few numbers of each portrait, to filter by: little-endian 16 bits, base64
    data/people-00000.js             captions and the other facts of a few identities' portraits
    thumbnails/<kind>/0/0.jpg        pictures by number, see thumbnails.py; kind: covers | portraits | dropped

A page opened from a disk may not fetch files, but it may load scripts and pictures: each data file is a call of
`gallery.receive(name, content)`.
"""

import base64
import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from salmu.data.errors import UserError
from salmu.data.files import listed, location
from salmu.data.gallery.from_dataset import from_dataset
from salmu.data.gallery.from_run import from_run
from salmu.data.gallery.source import IN_DATASET, NOT_JUDGED, NOT_PAIRED, Source
from salmu.data.gallery.thumbnails import Thumbnails
from salmu.data.schemas import DATA_FIELDS
from salmu.data.store import Store
from salmu.data.tables import read

PAGE = Path(__file__).parent
SCRIPTS = ("dom.js", "filters.js", "tiles.js", "person.js", "portrait.js", "overview.js", "app.js")
FILES = ("gallery.css", "theme.js", "data.js", *SCRIPTS)
CHUNK = 1000  # portraits in a file of people, at least, but for the last
SIDE = 160  # pixels of a thumbnail's longest side
NONE = 65_535  # where a number is missing
WORDS = {"split": "split", "field": "data_field", "style": "caption_style", "state": "state"}  # columns to filter by
ROLES = {"sensitive": 0, "retain": 1}  # then those that are dropped


def build_run(run_folder: str | Path, out: str | Path | None = None, side: int = SIDE) -> dict[str, int]:
    """The gallery of a run, also of an unfinished one, in `out` (default: `gallery` in the run's folder); see build."""
    run_folder = location(run_folder)
    return build(from_run(Store(run_folder)), out or run_folder / "gallery", side)


def build_dataset(folder: str | Path, out: str | Path | None = None, side: int = SIDE) -> dict[str, int]:
    """The gallery of a published dataset, in `out` (default: beside the dataset, `<name>-gallery`); see build."""
    folder = location(folder)
    return build(from_dataset(folder), out or folder.resolve().with_name(f"{folder.resolve().name}-gallery"), side)


def build(source: Source, out: str | Path, side: int = SIDE) -> dict[str, int]:
    """Write the gallery to a folder, whole or not at all, and return its counts: identities, portraits, dropped (of all
    stages), damaged (portraits whose picture cannot be read; shown without one). Same source, same bytes.

    `side`: pixels of a thumbnail's longest side, 16 to 1024. Raises UserError for another number, for a file name that
    stands twice, and when `out` holds something else or is not on a local disk."""
    out = location(out)
    if not 16 <= side <= 1024:
        raise UserError(f"gallery: thumbnails of {side} pixels; choose a number from 16 to 1024")
    if not isinstance(out, Path):
        raise UserError(f"{out}: a gallery is opened from a local disk; name a local folder with --out")
    if listed(out) and not {"index.html", "thumbnails"} <= set(listed(out)):
        raise UserError(f"{out}: not empty and not a gallery; name another folder or remove it")
    twice = [name for name, count in Counter(row["file_name"] for row in source.portraits).items() if count > 1]
    if twice:
        raise UserError(f"{source.name}: portrait {twice[0]} is there twice; file names must be unique")
    new, old = (out.with_name(f".{out.name}.{kind}") for kind in ("new", "old"))
    try:
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
        counts = _write(source, new, side)
        if out.exists():
            os.replace(out, old)
        os.replace(new, out)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{out}: cannot be written: {reason}; free some space or choose another folder") from None
    finally:
        if old.exists() and not out.exists():
            os.replace(old, out)
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
    return counts


def _write(source: Source, folder: Path, side: int) -> dict[str, int]:
    for name in ("data", "thumbnails"):
        (folder / name).mkdir(parents=True)
    order = {identity: (ROLES.get(row["role"], 2), identity) for identity, row in source.people.items()}
    portraits = sorted(source.portraits, key=lambda row: (order[row["identity_id"]], row["file_name"]))
    groups = defaultdict(list)
    for row in portraits:
        groups[row["identity_id"]].append(row)
    examples = [item for reason in source.dropped for item, _ in reason.examples]
    numbers = {
        "covers": _numbered(groups),
        "portraits": _numbered(row["file_name"] for row in portraits),
        "dropped": _numbered(examples),
    }
    pictured = set()
    with Thumbnails(folder / "thumbnails", side) as thumbnails:
        for kind, key, picture in source.pictures():
            if key in numbers[kind]:
                pictured.add((kind, numbers[kind][key]))
                thumbnails.add(kind, numbers[kind][key], picture)
    pictured -= thumbnails.damaged
    without = [number for number in range(len(portraits)) if ("portraits", number) not in pictured]
    words = {name: _words(column, portraits) for name, column in WORDS.items()}
    people = _people(source, groups, pictured, folder)
    counts = {
        "identities": len(people),
        "portraits": len(portraits),
        "dropped": sum(reason.count for reason in source.dropped),
        "damaged": len(without),
    }
    index = {
        "name": source.name,
        "counts": counts,
        "side": side,
        "words": words,
        "countries": {row["country"]: row["name"] for row in read("countries")},
        "people": people,
        "without": without,
        "captions": _by_style(portraits),
        "dropped": [
            reason._asdict() | {"examples": [_example(*example, numbers, pictured) for example in reason.examples]}
            for reason in source.dropped
        ],
    }
    _receive(folder, "index", index)
    _receive(folder, "portraits", _columns(portraits, words))
    _page(folder, source.name, counts)
    return counts


def _numbered(keys: Iterable[str]) -> dict[str, int]:
    return {key: number for number, key in enumerate(dict.fromkeys(keys))}


def _people(source: Source, groups: dict[str, list[dict]], pictured: set, folder: Path) -> list[dict[str, Any]]:
    """What the index tells of each identity, in the order of the groups; writes the chunks with the rest."""
    people, chunk, number, first = [], [], 0, 0
    for place, (identity, rows) in enumerate(groups.items()):
        counts = {"portraits": len(rows), "kept": sum(row["state"] == IN_DATASET for row in rows)}
        places = {"chunk": number, "first": first, "cover": place if ("covers", place) in pictured else None}
        people.append({"id": identity, **source.people[identity], **counts, **places})
        chunk.append(_details(identity, rows, source.captions.get(identity, [])))
        first += len(rows)
        if sum(len(person["files"]) for person in chunk) >= CHUNK:
            _receive(folder, f"people-{number:05}", chunk)
            chunk, number = [], number + 1
    if chunk:
        _receive(folder, f"people-{number:05}", chunk)
    return people


def _details(identity: str, rows: list[dict], written: list[tuple[str, str, str]]) -> dict[str, Any]:
    """An identity's captions, each once, and of each portrait, in columns, what is not filtered by."""
    own = [(row["data_field"], row["caption_style"], row["text"]) for row in rows]
    captions = {caption: number for number, caption in enumerate(dict.fromkeys([*written, *own]))}
    return {
        "id": identity,
        "captions": list(captions),
        "files": [row["file_name"] for row in rows],
        "caption": [captions[caption] if caption[2] is not None else None for caption in own],
        "generic": [row["generic_text"] for row in rows],
        "published": [row["split_published"] for row in rows],
        "size": [[row["width"], row["height"]] for row in rows],
        "detail": [row["detail"] for row in rows],
    }


def _words(column: str, portraits: list[dict]) -> list[str]:
    """The different values of a column: attributes and states in their own order, the others by name."""
    first = (*DATA_FIELDS, IN_DATASET, NOT_PAIRED, NOT_JUDGED)
    found = {row[column] for row in portraits if row[column] is not None}
    return [*(word for word in first if word in found), *sorted(found.difference(first))]


def _columns(portraits: list[dict], words: dict[str, list[str]]) -> dict[str, str]:
    """What is filtered and ordered by: codes of words, and similarity as (cosine + 1) * 10,000."""
    columns = {}
    for name, column in WORDS.items():
        codes = {word: code for code, word in enumerate(words[name])}
        columns[name] = [codes.get(row[column], NONE) for row in portraits]
    columns["similarity"] = [_similarity(row) for row in portraits]
    return {name: base64.b64encode(np.array(codes, "<u2").tobytes()).decode() for name, codes in columns.items()}


def _similarity(row: dict) -> int:
    cosine = row["identity_similarity"]
    if cosine is None or cosine != cosine:  # NaN: not measured
        return NONE
    if not abs(cosine) < 1.001:  # rounded a little beyond 1
        raise UserError(f"gallery: portrait {row['file_name']}: identity_similarity {cosine} is no cosine, -1 to 1")
    return round((cosine + 1) * 10_000)


def _by_style(portraits: list[dict]) -> list[tuple[str | None, str | None, int]]:
    """Data field, style, and how many pairs have such a caption."""
    pairs = (row for row in portraits if row["text"] is not None)
    counts = Counter((row["data_field"], row["caption_style"]) for row in pairs)
    return [(*key, counts[key]) for key in sorted(counts, key=lambda key: tuple(word or "" for word in key))]


def _example(item: str, detail: str, numbers: dict[str, dict[str, int]], pictured: set) -> dict[str, Any]:
    """Something dropped: a portrait by its number, or another picture by its number, or neither."""
    picture = numbers["dropped"][item] if ("dropped", numbers["dropped"][item]) in pictured else None
    return {"item": item, "detail": detail, "portrait": numbers["portraits"].get(item), "picture": picture}


def _receive(folder: Path, name: str, content: Any) -> None:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    (folder / "data" / f"{name}.js").write_text(f'gallery.receive("{name}",{text});\n', encoding="utf-8")


def _page(folder: Path, name: str, counts: dict[str, int]) -> None:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("index.html").render(name=name, counts=counts, scripts=SCRIPTS)
    (folder / "index.html").write_text(page, encoding="utf-8")
    for name in FILES:
        shutil.copyfile(PAGE / name, folder / name)
