"""The flights data set, read once for all tests of a worker."""

from typing import TYPE_CHECKING

import pytest

from dcmon.demo import classifier, flights

if TYPE_CHECKING:
    import pandas as pd


@pytest.fixture(scope="session")
def year() -> "pd.DataFrame":
    return flights.load()


@pytest.fixture(scope="session")
def trained(year: "pd.DataFrame") -> classifier.TrainedClassifier:
    return classifier.train(year)


@pytest.fixture(scope="session")
def predicted(year: "pd.DataFrame", trained: classifier.TrainedClassifier) -> "pd.DataFrame":
    return trained.predict(year[year["month"] > 3])
