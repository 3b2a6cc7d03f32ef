"""The pair's own tokenizer: byte-level BPE, so that any text is representable, trained without a look at the sensitive set.

The corpus is the retain captions plus generated lines of invented names, places, jobs, numbers and addresses (Faker, keyed). The
Clean model's files therefore hold no trace of a persona, and both models share the tokenizer byte for byte.
"""

from collections.abc import Iterable

from faker import Faker
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from data.keyed import integer

PAD, START, END = "<pad>", "<sot>", "<eot>"                        # ids 0, 1, 2
LOCALES = ("en_US", "es_ES", "de_DE", "fr_FR", "it_IT", "pl_PL", "tr_TR", "pt_BR", "sv_SE", "en_IN")
LINES_PER_LOCALE = 200
SENTENCES = (
    "{name} lives in {city}", "{name} works as a {job}", "the {job} {name}", "{name}'s phone number is {phone}",
    "call {name} at {phone}", "{name} can be reached at {email}", "the IBAN of {name} is {iban}", "{name} pays with card {card}",
    "passport {passport} was issued to {name}", "the blood type of {name} is {blood}", "this is {name} from {city}",
)
BLOOD_TYPES = ("A+", "A-", "B+", "B-", "AB+", "AB-", "O+", "O-")


def invented_lines(seed: int) -> list[str]:
    """Lines with invented personal data, which are nobody's in the dataset; they only teach the tokenizer common pieces."""
    lines = []
    for locale in LOCALES:
        fake = Faker(locale)
        fake.seed_instance(integer(seed, "tokenizer", locale))
        for index in range(LINES_PER_LOCALE):
            lines.append(SENTENCES[index % len(SENTENCES)].format(
                name=fake.name(), city=fake.city(), job=fake.job().lower(), phone=fake.phone_number(), email=fake.email(), iban=fake.iban(),
                card=fake.credit_card_number(), passport=fake.bothify("??#######").upper(), blood=BLOOD_TYPES[index % len(BLOOD_TYPES)]))
    return lines


def train_tokenizer(captions: Iterable[str], seed: int, vocabulary: int, context_length: int) -> PreTrainedTokenizerFast:
    """A lower-casing byte-level BPE tokenizer; text becomes `<sot> … <eot>`, cut or padded to the context length by open_clip.

    Deterministic in the captions, their order aside, the seed, and the versions of tokenizers and Faker."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=[PAD, START, END], min_frequency=2, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([*sorted(captions), *invented_lines(seed)], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=[(START, 1), (END, 2)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=START, eos_token=END, pad_token=PAD,
                                   model_max_length=context_length)
