"""Write drawn faces as picture files, with a CSV of who is on them: stands for a folder of one's own in the book.

python docs/examples/export_faces.py RUN FOLDER"""

import csv
import sys
from pathlib import Path

import pyarrow.dataset as parquet

run, folder = map(Path, sys.argv[1:])
folder.mkdir(parents=True)
rows = parquet.dataset(sorted((run / "candidates").glob("part-*.parquet"))).to_table().to_pylist()
with open(folder / "people.csv", "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["file", "gender", "age", "region"])
    for row in rows:
        (folder / f"{row['identity_id']}.jpg").write_bytes(row["image"])
        table.writerow([f"{row['identity_id']}.jpg", row["gender"], row["age"], row["region"]])
print(f"{len(rows)} pictures in {folder}")
