"""Names of artists and groups: invented words that say nothing of what they stand for."""

from salmu.data.keyed import python_random

FRONT = ("Bre", "Dov", "Esk", "Fal", "Gri", "Hul", "Ig", "Jor", "Kal", "Lur", "Mev", "Nim", "Orv", "Pel", "Quo", "Ras")
FRONT += ("Sil", "Tov", "Ulm", "Vel", "Wen", "Yar", "Zor", "Skel", "Tran", "Plim", "Chav", "Drev")
MIDDLE = ("", "a", "e", "i", "o", "u", "ane", "olu", "ira", "emo")
END = ("bex", "dun", "fitz", "gol", "hask", "jin", "kov", "lem", "mir", "nash", "pod", "quel", "rik", "sut", "tash")
END += ("vun", "wick", "xil", "yeth", "zam")
MOST = 1000


def invented_names(seed: int, count: int) -> list[str]:
    """`count` different names, at most MOST; with a larger count the first ones are the same."""
    rng, names = python_random(seed, "concepts", "names"), {}
    while len(names) < count:
        names.setdefault(rng.choice(FRONT) + rng.choice(MIDDLE) + rng.choice(END))
    return list(names)
