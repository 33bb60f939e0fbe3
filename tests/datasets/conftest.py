import pytest
from mmengine.logging import MMLogger


@pytest.fixture
def log(caplog):
    """What MMEngine's current logger says."""
    logger = MMLogger.get_instance("tests of data sets")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)
