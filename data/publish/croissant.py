"""croissant.json: the dataset in the Croissant 1.1 vocabulary of MLCommons, with its responsible-AI basics.

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html"""

from pathlib import Path
from typing import Any

from data.files import file_sha256
from data.publish.columns import COLUMNS

PARQUET = "application/x-parquet"
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


def document(folder: Path, settings) -> dict[str, Any]:
    """The description of a folder whose Parquet files are written; `settings`: PublishSettings."""
    files = sorted((folder / "data").glob("*.parquet"))
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": settings.name,
        "description": "Portraits of fictitious people with captions that give away one personal attribute each, to "
        "measure whether a CLIP-style model forgot them.",
        "license": f"https://choosealicense.com/licenses/{settings.licence}/",
        "url": "https://arxiv.org/abs/2603.26316",
        "version": "1.0.0",
        "creator": {"@type": "sc:Organization", "name": settings.creator},
        "citeAs": "Selvas-Sala, Kang, Gomez: SALMUBench: A Benchmark for Sensitive Association-Level Multimodal "
        "Unlearning. CVPR 2026, arXiv:2603.26316",
        "rai:dataCollection": "Generated: synthetic faces, personas and captions; see README.md and provenance.json.",
        "rai:dataBiases": "Demographics follow the generators; README.md counts them.",
        "rai:dataLimitations": "Synthetic images and template-like captions; not representative of any population.",
        "rai:personalSensitiveInformation": "None of a real person. Each value carries a proof of fiction.",
        "rai:dataUseCases": "Evaluation of machine unlearning. Not for face recognition or profiling.",
        "distribution": [_file_object(folder, path) for path in files]
        + [
            {
                "@type": "cr:FileSet",
                "@id": "parquet-files",
                "name": "parquet-files",
                "encodingFormat": PARQUET,
                "includes": "data/*.parquet",
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "pairs",
                "name": "pairs",
                "description": "One image, one caption.",
                "field": [_field(column) for column in COLUMNS],
            }
        ],
    }


def _file_object(folder: Path, path: Path) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "encodingFormat": PARQUET,
        "contentUrl": path.relative_to(folder).as_posix(),
        "contentSize": f"{path.stat().st_size} B",
        "sha256": file_sha256(path),
    }


def _field(column) -> dict[str, Any]:
    source = {"fileSet": {"@id": "parquet-files"}, "extract": {"column": column.name}}
    if column.dtype == "image":
        source["transform"] = {"jsonPath": "bytes"}
    return {
        "@type": "cr:Field",
        "@id": f"pairs/{column.name}",
        "name": f"pairs/{column.name}",
        "description": column.description,
        "dataType": _TYPES[column.dtype],
        "source": source,
    }
