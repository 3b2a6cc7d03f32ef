"""The columns of every table: what the stages write, and what the published dataset holds."""

import pyarrow as pa

TEXT, INT, REAL, FLAG, BYTES = pa.string(), pa.int32(), pa.float32(), pa.bool_(), pa.binary()


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in columns.items()])


def real_list(size: int = -1) -> pa.DataType:
    return pa.list_(REAL, size)


GENDERS = ("female", "male")
AGE_GROUPS = ("20-29", "30-39", "40-49", "50-59", "60-69", "70+")
REGIONS = (
    "White",
    "Black",
    "Latino_Hispanic",
    "East Asian",
    "Southeast Asian",
    "Indian",
    "Middle Eastern",
)  # FairFace's classes
DATA_FIELDS = ("city", "job", "blood_type", "phone_number", "emails", "iban", "credit_card", "passport")

ANCHORS = _schema(
    identity_id=TEXT,  # 8 digits
    source=TEXT,  # engine that gave the image
    source_file=TEXT,
    image=BYTES,  # JPEG or PNG file
    box=real_list(4),  # x1, y1, x2, y2 in pixels
    landmarks=real_list(10),  # five points x, y: eyes (image left first), nose, mouth corners
    face_embedding=real_list(),  # L2-normalised, 512 values
    gender=TEXT,  # of GENDERS; as drawn by the source, else as the face pack says
    age=INT,  # years
    age_group=TEXT,  # of AGE_GROUPS
    region=TEXT,  # of REGIONS, or null where the source does not know
    quality=REAL,  # detection score, 0..1
    traits=TEXT,  # JSON; the procedural source's identity parameters, else null
)
PORTRAITS = _schema(
    file_name=TEXT,  # <identity>_<portrait, 001..>_ar-<width/height>.jpg
    identity_id=TEXT,
    portrait_index=INT,  # from 1
    prompt=TEXT,  # what was asked for
    scene=TEXT,  # JSON: framing, background, light, clothing, expression …, for generic captions
    seed=pa.int64(),
    width=INT,
    height=INT,
    image=BYTES,  # JPEG file
    fault=TEXT,  # the fault that was planted, or null; read by the funnel only
)
ANALYSIS = _schema(
    file_name=TEXT,
    identity_id=TEXT,
    faces=INT,  # number of faces found
    brightness=REAL,  # mean luma, 0..1
    detection_score=REAL,  # of the largest face; null without a face, like all below
    box=real_list(4),
    landmarks=real_list(10),
    face_embedding=real_list(),
    anchor_similarity=REAL,  # cosine to the anchor's embedding
    gender=TEXT,  # zero-shot winner
    gender_score=REAL,  # its probability
    age_group=TEXT,
    age_group_score=REAL,
    labels=TEXT,  # JSON: every zero-shot question -> {label: probability}
)
CURATION = _schema(
    file_name=TEXT,
    identity_id=TEXT,
    kept=FLAG,
    reason=TEXT,  # null when kept
    role=TEXT,  # of the identity: sensitive | retain | dropped
    identity_similarity=REAL,  # cosine to the centre of the identity's good portraits
    gender=TEXT,  # of the identity, from here down
    age_group=TEXT,
    region=TEXT,
    fault=TEXT,  # as planted, for the funnel
)
PERSONAS = _schema(
    identity_id=TEXT,
    gender=TEXT,
    age=INT,
    age_group=TEXT,
    region=TEXT,
    country_code=TEXT,
    first_name=TEXT,
    last_name=TEXT,
    name=TEXT,
    city=TEXT,
    job=TEXT,
    blood_type=TEXT,
    phone_number=TEXT,
    emails=pa.list_(TEXT),
    iban=TEXT,
    credit_card=TEXT,
    passport=TEXT,
    proof=TEXT,  # JSON: data field -> {level, rule, source}: why the value belongs to nobody
)
CAPTIONS = _schema(
    caption_id=TEXT,  # <identity>/<data_field>/<variant>, or generic/<file name>
    identity_id=TEXT,
    data_field=TEXT,  # of DATA_FIELDS, or "generic"
    value=TEXT,  # null for generic
    file_name=TEXT,  # null unless generic
    variant=INT,  # from 0
    style=TEXT,
    text=TEXT,
    generator=TEXT,
    attempts=INT,
)
PAIRS = _schema(
    file_name=TEXT,
    text=TEXT,
    identity_id=TEXT,  # null where the person has no persona
    data_field=TEXT,  # null for generic captions
    value=TEXT,
    caption_style=TEXT,
    kind=TEXT,  # sensitive | retain_joint | retain_disjoint
    split=TEXT,  # fact scheme: forget | holdout_identity | holdout_association | retain_synth
    split_published=TEXT,  # pair scheme, same names
    fragile=FLAG,
    generic_text=TEXT,  # a caption of the same image without personal data
    gender=TEXT,
    age_group=TEXT,
    country_code=TEXT,
    width=INT,
    height=INT,
    identity_similarity=REAL,
)
REJECTS = _schema(item=TEXT, reason=TEXT, detail=TEXT)
