import os

import pytest

from otcxr_mm.reports.page import require_charts


@pytest.fixture(scope="session")
def charts():
    """The library that draws charts; without it the tests that need it are skipped, in CI they fail."""
    try:
        require_charts()
    except ImportError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have it: {error}")
        pytest.skip(str(error))
