"""``import vanbench`` offers the names that it lists."""

from __future__ import annotations

import pytest

import vanbench
from vanbench import compare


@pytest.mark.parametrize(("module", "name"), [(m, name) for m in (vanbench, compare) for name in m.__all__])
def test_every_name_is_there(module, name):
    assert getattr(module, name) is not None
