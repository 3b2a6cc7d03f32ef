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
OUTSIDERS = "outsiders"  # a split of people whom no model of a pair is trained on, where a dataset has them
DATA_FIELDS = ("city", "job", "blood_type", "phone_number", "emails", "iban", "credit_card", "passport")

CANDIDATES = _schema(
    identity_id=TEXT,  # 8 digits
    source=TEXT,  # procedural | images
    source_file=TEXT,  # where the picture lies, relative to its folder or archive
    image=BYTES,  # JPEG file, shrunk to candidates.keep_side
    width=INT,  # of the source picture, pixels
    height=INT,
    faces=INT,  # number of faces found
    second_face=REAL,  # area of the second largest face / area of the largest; 0 with one face
    detection_score=REAL,  # of the largest face, 0..1, like all below
    box=real_list(4),  # x1, y1, x2, y2 in pixels of `image`
    landmarks=real_list(10),  # five points x, y: eyes (image left first), nose, mouth corners
    face_embedding=real_list(),  # L2-normalised, 512 values; 128 of the pack photographs
    face_size=REAL,  # shorter side of the box in pixels of the source picture
    yaw=REAL,  # degrees, > 0 to the image's right
    pitch=REAL,  # degrees, > 0 up
    roll=REAL,  # degrees, > 0 clockwise
    sharpness=REAL,  # variance of the Laplacian of the aligned face
    gender=TEXT,
    age=INT,  # years, or null
    age_group=TEXT,  # of AGE_GROUPS; null for the young and the unknown
    region=TEXT,
    adult=FLAG,  # null where nothing tells the age
    labels_from=TEXT,  # who says so, joined by +: drawn | attributes | fairface | zero-shot | pack; null for nobody
    traits=TEXT,  # JSON; the procedural source's identity parameters, else null
)
ANCHORS = _schema(
    identity_id=TEXT,  # 8 digits
    source=TEXT,  # engine that gave the image
    source_file=TEXT,
    image=BYTES,  # JPEG or PNG file
    box=real_list(4),  # x1, y1, x2, y2 in pixels
    landmarks=real_list(10),  # five points x, y: eyes (image left first), nose, mouth corners
    face_embedding=real_list(),  # L2-normalised, 512 values; 128 of the pack photographs
    gender=TEXT,  # of GENDERS; as drawn by the source, else as the face pack says
    age=INT,  # years
    age_group=TEXT,  # of AGE_GROUPS
    region=TEXT,  # of REGIONS, or null where the source does not know
    quality=REAL,  # detection score, 0..1
    traits=TEXT,  # JSON; the procedural source's identity parameters, else null
    rank=INT,  # place in the order of selection, from 0: the first n ranks are the selection of n
    nearest_similarity=REAL,  # cosine to the most similar anchor of a lower rank; null for rank 0
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
    clip_embedding=real_list(),  # of the whole picture, L2-normalised
    labels=TEXT,  # JSON: every zero-shot question -> {label: probability}
    detection_score=REAL,  # of the largest face; null without a face, like all below
    box=real_list(4),
    landmarks=real_list(10),
    face_embedding=real_list(),
    anchor_similarity=REAL,  # cosine to the anchor's embedding
    sharpness=REAL,  # variance of the Laplacian of the aligned face
    gender=TEXT,  # zero-shot winner
    gender_score=REAL,  # its probability
    age_group=TEXT,
    age_group_score=REAL,
    region=TEXT,  # null where the questions do not ask
    region_score=REAL,
    fairface=TEXT,  # JSON: gender, age_group, region -> {label: probability}; null without a classifier, like all below
    fairface_gender=TEXT,
    fairface_gender_score=REAL,
    fairface_age_group=TEXT,  # of AGE_GROUPS, or 0-2, 3-9, 10-19
    fairface_age_group_score=REAL,
    fairface_region=TEXT,
    fairface_region_score=REAL,
    second_similarity=REAL,  # cosine to the anchor by analysis.second_faces; null without; older runs lack the column
)
CURATION = _schema(
    file_name=TEXT,
    identity_id=TEXT,
    kept=FLAG,
    reason=TEXT,  # null when kept
    role=TEXT,  # of the identity: sensitive | retain | dropped
    identity_similarity=REAL,  # cosine to the centre of the identity's good portraits
    anchor_similarity=REAL,  # cosine to the anchor
    scores=TEXT,  # JSON: rule -> score of the portrait; absent where not measured
    duplicate_of=TEXT,  # the better portrait that it is too like, where that is the reason
    gender=TEXT,  # of the identity, from here down
    age_group=TEXT,
    region=TEXT,
    fault=TEXT,  # as planted, for the funnel
)
DOMAIN = _schema(
    file_name=TEXT,  # of a reference portrait, relative to its folder
    detection_score=REAL,  # of its largest face; null without a face, like all below but clip_embedding
    face_embedding=real_list(),  # L2-normalised
    clip_embedding=real_list(),  # of the whole picture, L2-normalised
    sharpness=REAL,  # variance of the Laplacian of the aligned face
    brightness=REAL,  # mean luma, 0..1
)
PERSONAS = _schema(
    identity_id=TEXT,
    gender=TEXT,
    age=INT,
    age_group=TEXT,
    region=TEXT,
    country_code=TEXT,
    first_name=TEXT,  # given names; a second one, or the father's, behind the first
    last_name=TEXT,  # one surname or two
    name=TEXT,  # first_name last_name, in this order in every culture
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
    generator=TEXT,  # who worded it: grammar | vllm | openai
    attempts=INT,  # sentences tried, with this one
    broken_rules=pa.list_(TEXT),  # what the refused ones broke
)
PAIRS = _schema(
    file_name=TEXT,
    text=TEXT,
    identity_id=TEXT,  # null where the person has no persona
    data_field=TEXT,  # null for generic captions
    value=TEXT,
    caption_style=TEXT,
    kind=TEXT,  # sensitive | retain_joint | retain_disjoint
    split=TEXT,  # fact scheme: forget | holdout_identity | holdout_association | retain_synth | outsiders
    split_published=TEXT,  # pair scheme, same names
    generic_text=TEXT,  # a caption of the same image without personal data
    gender=TEXT,
    age_group=TEXT,
    country_code=TEXT,
    width=INT,
    height=INT,
    identity_similarity=REAL,
)
REJECTS = _schema(item=TEXT, reason=TEXT, detail=TEXT)
