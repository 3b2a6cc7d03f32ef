"""Blood types as frequent as in the country."""

from faker.providers import BaseProvider

from salmu.data.tables import grouped

TYPES = ("O+", "A+", "B+", "AB+", "O-", "A-", "B-", "AB-")


class BloodProvider(BaseProvider):
    def blood_type_in(self, country: str) -> str:
        row = grouped("blood", "country")[country][0]
        return self.generator.random.choices(TYPES, [float(row[kind]) for kind in TYPES])[0]
