"""Makes 1,000, 100,000 and 1,000,000 personas and has them judged; writes benchmarks/personas.json.

    python benchmarks/personas.py [--sizes 1000 100000] [--identifying 1000000] [--workers 2]

Judges: tasks/personas/judge.py, phonenumbers, schwifty with national checks, python-stdnum, and where they are
installed email-validator, pycountry, nomquamgender and gender-guesser (GPL; pip install gender-guesser in a surrounding
of your own)."""

import argparse
import json
import platform
import resource
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
from personas_judges import OPTIONAL, gender_disagreements, has, judgements

from salmu.data.identities import identity_id
from salmu.data.schemas import AGE_GROUPS, GENDERS, REGIONS
from salmu.data.tables.figures import hashes
from salmu.tasks.personas import judge, stage

SHARD = 5000
DISTRIBUTIONS = ("Faker", "phonenumbers", "schwifty", "python-stdnum")


def traits(serial: int) -> dict[str, str]:
    """As `procedural` deals them: every gender in every region, then the next age groups."""
    block, place = divmod(serial, len(GENDERS) * len(REGIONS))
    return {
        "identity_id": identity_id(0, serial),
        "gender": GENDERS[place % len(GENDERS)],
        "age_group": AGE_GROUPS[(block + place // len(GENDERS)) % len(AGE_GROUPS)],
        "region": REGIONS[place % len(REGIONS)],
    }


def shard(task: tuple[int, int, bool]) -> dict:
    """Make and judge the personas of serials first … last - 1."""
    first, last, whole = task
    settings, fake = stage.Settings(), engine()
    begun = time.process_time()
    if whole:
        rows = [stage.persona(traits(serial), settings, fake) for serial in range(first, last)]
    else:
        rows = [identifying(serial, settings, fake) for serial in range(first, last)]
    made = time.process_time() - begun
    judged = [judgements(row) for row in rows]
    if whole:
        judged.append(Counter(what for row in rows for what in ("own judge",) * len(judge.judge_row(row))))
    return {
        "made": made,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "digests": {
            field: np.array([judge.digest(value) for row in rows for value in judge.values_of(row, field)], "S8")
            for field in judge.IDENTIFYING
        },
        "problems": sum(judged, Counter()),
        "countries": country_counts(rows),
        "given": Counter((row["name"].split()[0], row["gender"]) for row in rows),
    }


@cache
def engine():
    warnings.simplefilter("ignore")
    return stage.load_engine(stage.Settings())


def identifying(serial: int, settings: stage.Settings, fake) -> dict:
    person = traits(serial)
    country, name, values = stage.identifying(
        person["identity_id"], serial, person["gender"], person["region"], settings, fake
    )
    row = {field: [value.text for value in found] for field, found in values.items()}
    levels = {field: {"level": found[0].level} for field, found in values.items()}
    row = {field: found if field == "emails" else found[0] for field, found in row.items()}
    return row | {"gender": person["gender"], "country_code": country, "proof": levels}


def country_counts(rows: list[dict]) -> Counter:
    counts = Counter()
    for row in rows:
        proof = json.loads(row["proof"]) if isinstance(row["proof"], str) else row["proof"]
        counts[row["country_code"], "personas"] += 1
        counts[row["country_code"], "women"] += row["gender"] == "female"
        for field in ("phone_number", "iban"):
            counts[row["country_code"], f"{field} {proof[field]['level']}"] += 1
    return counts


def measure(size: int, whole: bool, workers: int) -> dict:
    begun = time.perf_counter()
    tasks = [(first, min(first + SHARD, size), whole) for first in range(0, size, SHARD)]
    with ProcessPoolExecutor(workers) as pool:
        parts = list(pool.map(shard, tasks))
    digests = {field: np.concatenate([part["digests"][field] for part in parts]) for field in judge.IDENTIFYING}
    counts = sum((part["countries"] for part in parts), Counter())
    countries = sorted({country for country, _ in counts})
    first = shard((0, min(10, size), whole))["digests"]
    given = sum((part["given"] for part in parts), Counter())
    seconds = round(time.perf_counter() - begun, 1)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    with ProcessPoolExecutor(1) as pool:  # the judges of names load large tables
        gender = pool.submit(gender_disagreements, given).result()
    return {
        "personas": size,
        "values": "all" if whole else "identifying",
        "workers": workers,
        "seconds": seconds,
        "seconds_of_making_on_one_core": round(sum(part["made"] for part in parts), 1),
        "peak_memory_of_a_worker_MiB": max(part["memory"] for part in parts),
        "peak_memory_of_the_parent_MiB": memory,
        "shared_values": {field: int(len(found) - len(np.unique(found))) for field, found in digests.items()},
        "first_ten_as_in_a_run_of_ten": all(
            np.array_equal(found[: len(first[field])], first[field]) for field, found in digests.items()
        ),
        "public_figures": len(hashes()),
        "problems": dict(sum((part["problems"] for part in parts), Counter())),
        "gender": gender,
        "countries": [
            {"country": country}
            | {kind: counts[key] for key in sorted(counts) for kind in key[1:] if key[0] == country}
            for country in countries
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 100_000])
    parser.add_argument("--identifying", type=int, nargs="*", default=[1_000_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    missing = [package for package in OPTIONAL if not has(package)]
    print(f"judges that are not installed: {', '.join(missing) or 'none'}")
    runs = [(size, True) for size in options.sizes] + [(size, False) for size in options.identifying]
    document = {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in DISTRIBUTIONS},
        "judges_not_installed": missing,
        "runs": [],
    }
    for size, whole in runs:
        result = measure(size, whole, options.workers)
        document["runs"].append(result)
        print({key: value for key, value in result.items() if key not in ("countries", "gender")})
        print({name: found["disagreements beyond its known errors"] for name, found in result["gender"].items()})
        options.out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
