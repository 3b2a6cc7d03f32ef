"""Jobs that a person of an age can have."""

import functools

from faker.providers import BaseProvider

from salmu.data.tables import read


@functools.cache
def jobs(age: int) -> list[str]:
    return [row["job"] for row in read("jobs") if int(row["min_age"]) <= age <= int(row["max_age"])]


class JobProvider(BaseProvider):
    def job_at(self, age: int) -> str:
        """A job, lower case but for acronyms, that reads well after "works as a"."""
        return self.generator.random.choice(jobs(age))
