"""Mail addresses that agree with the name, under domains reserved for examples."""

import functools

from faker.providers import BaseProvider

from salmu.data.tables import fold, grouped
from salmu.tasks.personas.value import Value

DOMAINS = ("example.com", "example.net", "example.org")


@functools.cache
def _hosts(culture: str) -> list[str]:
    labels = grouped("cultures", "culture")[culture][0]["labels"].split()
    return [f"{label}.{domain}" for label in labels for domain in DOMAINS]


class EmailProvider(BaseProvider):
    def fictitious_emails(self, name: str, culture: str, count: int) -> list[Value]:
        """`count` addresses of a person. The local part is the whole name, so that it is as unique as the name."""
        random = self.generator.random
        local = random.choice("._").join(fold(name).split())
        return [
            Value(f"{local}@{host}", "G3", "under a domain that is reserved for examples", "RFC 2606, section 3")
            for host in random.sample(_hosts(culture), count)
        ]
