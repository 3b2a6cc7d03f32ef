"""croissant.json: the dataset in the Croissant 1.1 vocabulary of MLCommons, with its responsible-AI vocabulary.

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html

There is a record set for all pairs, one a split, and one a Parquet file. mlcroissant finds the files of the first two
kinds in a folder only; over http it reads those of the third, once their URLs are absolute (see the card)."""

from pathlib import PurePosixPath
from typing import Any

from salmu.data.publish.columns import COLUMNS, Column

PARQUET = "application/x-parquet"
_FORMATS = {"parquet": PARQUET, "json": "application/json", "tar": "application/x-tar"}
_TYPES = {"image": "sc:ImageObject", "string": "sc:Text", "int32": "cr:Int32", "float32": "cr:Float32"}
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def document(files: dict[str, dict], settings, made_from: dict[str, Any], demographics: str) -> dict[str, Any]:
    """The description of a published folder. `files`: its listing, with bytes and sha256 of each file; `settings`:
    PublishSettings; `made_from`: the provenance's inputs; `demographics`: a sentence that counts the groups."""
    about = (
        "Portraits of fictitious people with captions that give away one personal attribute each, to measure whether a "
        "CLIP-style model forgot them."
    )
    return described(files, settings, COLUMNS, about, _responsible_ai(made_from, demographics))


def described(
    files: dict[str, dict], settings, columns: tuple[Column, ...], about: str, responsible: dict[str, Any]
) -> dict[str, Any]:
    """As `document`, of Parquet files with these columns; `responsible`: values of the responsible-AI vocabulary."""
    parquet = [path for path in map(PurePosixPath, files) if path.match("data/*.parquet")]
    splits = dict.fromkeys(path.name.rsplit("-", 3)[0] for path in parquet)
    sets = {"pairs": ("data/*.parquet", "One image, one caption.")}
    sets |= {split: (f"data/{split}-*.parquet", f"The pairs of the split {split}.") for split in splits}
    released = {"datePublished": settings.released.isoformat()} if settings.released else {}
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": settings.name,
        "description": about,
        "license": settings.licence_link or f"https://choosealicense.com/licenses/{settings.licence}/",
        "url": settings.url,
        "version": settings.version,
        **released,
        "inLanguage": "en",
        "isLiveDataset": False,
        "keywords": ["machine unlearning", "multimodal", "CLIP", "privacy", "synthetic data"],
        "creator": {"@type": "sc:Organization", "name": settings.creator},
        "citeAs": "Selvas-Sala, Kang, Gomez: SALMUBench: A Benchmark for Sensitive Association-Level Multimodal "
        "Unlearning. CVPR 2026, arXiv:2603.26316",
        **responsible,
        "distribution": [_file_object(name, file) for name, file in files.items()]
        + [_file_set(name, pattern) for name, (pattern, _) in sets.items()],
        "recordSet": [
            *(
                _record_set(name, what, {"fileSet": {"@id": f"{name}-files"}}, columns)
                for name, (_, what) in sets.items()
            ),
            *(
                _record_set(path.stem, f"The rows of one file, {path}.", {"fileObject": {"@id": str(path)}}, columns)
                for path in parquet
            ),
        ],
    }


def _file_set(name: str, pattern: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{name}-files",
        "name": f"{name}-files",
        "encodingFormat": PARQUET,
        "includes": pattern,
    }


def _record_set(name: str, about: str, source: dict[str, Any], columns: tuple[Column, ...]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": about,
        "key": {"@id": f"{name}/file_name"},
        "field": [_field(name, column, source) for column in columns],
    }


def _responsible_ai(made_from: dict[str, Any], demographics: str) -> dict[str, Any]:
    """https://docs.mlcommons.org/croissant/docs/croissant-rai-spec.html, filled from the manifests."""
    left = {stage: counts["rows"] for stage, counts in made_from["stages"].items()}
    models = [f"{model['name']} ({model['use']}; {model['licence']})" for model in made_from["models"]]
    return {
        "rai:dataCollection": "Generated: synthetic faces, personas and captions; README.md and provenance.json hold "
        "the settings of every stage.",
        "rai:dataCollectionType": ["Synthetic data generation"],
        "rai:dataCollectionMissingData": "identity_id, data_field, value and country_code are null for generic pairs.",
        "rai:dataPreprocessingProtocol": [
            "Rows by stage: " + ", ".join(f"{stage} {rows}" for stage, rows in left.items()) + ".",
            "What was dropped lies in rejects/, with a reason each.",
        ],
        "rai:dataAnnotationProtocol": [
            "Captions are worded by a grammar or a language model and validated by rules: each states one fact.",
            "Gender, age group and region are those of the generator or of a classifier.",
        ],
        "rai:annotationsPerItem": "1",
        "rai:machineAnnotationTools": models,
        "rai:dataBiases": ["Groups are balanced by design and represent no population.", demographics],
        "rai:dataLimitations": [
            "Synthetic images and template-like English captions, tidier than the world.",
            "It measures forgetting of planted associations, not that a duty to erase is met.",
        ],
        "rai:dataUseCases": [
            "Evaluation of machine unlearning.",
            "Not for face recognition, profiling, or training systems that infer personal data.",
        ],
        "rai:dataSocialImpact": "Lets unlearning be measured without anybody's data. A model trained on the sensitive "
        "pairs gives values that look real: say that they are fictitious wherever it is shown.",
        "rai:personalSensitiveInformation": [
            "None of a real person. The captions name, of fictitious people: city, job, blood type, phone number, "
            "e-mail address, IBAN, card and passport number; proof_of_fiction.json says why each belongs to nobody."
        ],
        "rai:dataReleaseMaintenancePlan": "A version is never changed; provenance.json holds the SHA-256 of each file.",
    }


def _file_object(name: str, file: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "encodingFormat": _FORMATS.get(name.rpartition(".")[2], "text/plain"),
        "contentUrl": name,
        "contentSize": f"{file['bytes']} B",
        "sha256": file["sha256"],
    }


def _field(record_set: str, column, source: dict[str, Any]) -> dict[str, Any]:
    source = source | {"extract": {"column": column.name}}
    if column.dtype == "image":
        source["transform"] = {"jsonPath": "bytes"}
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{column.name}",
        "name": f"{record_set}/{column.name}",
        "description": column.description,
        "dataType": _TYPES[column.dtype],
        "source": source,
    }
