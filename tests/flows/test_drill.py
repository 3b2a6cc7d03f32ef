"""A drill that would hit nothing is refused."""

import pytest

from salmu.data.errors import UserError
from salmu.data.settings import validate
from salmu.flows.running.drill import DrillSettings, require_shard


def test_a_drill_names_a_stage_that_there_is():
    with pytest.raises(UserError, match="no stage 'caption'; there are candidates, "):
        validate(DrillSettings, {"shard": "caption:0"}, "profile")


def test_a_drill_names_a_shard_that_there_is():
    drill = DrillSettings(shard="captions:3")
    require_shard(drill, "captions", {0, 3})
    require_shard(drill, "assembly", {0})  # of another stage
    with pytest.raises(UserError, match="stage captions has no shard 3, its 3 are 0 to 2"):
        require_shard(drill, "captions", {0, 1, 2})
