"""The markers that Spark, Hadoop, S3A, EMR, Databricks and Delta leave, and what a part file makes of them."""

import pytest

from dcmon.ingestion.files import spark_output
from dcmon.ingestion.files.spark_output import Markers, OutputState

PART = "scores/country=DE/month=3/part-00000-8e5e1f6e.c000.snappy.parquet"
OF_DATABRICKS = "scores/country=DE/part-00000-tid-77-8e5e1f6e-1-c000.snappy.parquet"
WRITTEN, BEING_WRITTEN, UNMARKED = OutputState.WRITTEN, OutputState.BEING_WRITTEN, OutputState.UNMARKED


@pytest.mark.parametrize(
    ("path", "markers", "state"),
    [
        (PART, [], UNMARKED),
        (PART, ["scores/_SUCCESS"], WRITTEN),
        (PART, ["_SUCCESS", "scores/_SUCCESS.crc", "other/_SUCCESS"], UNMARKED),
        (PART, ["scores/_SUCCESS", "scores/_temporary/0/task/part-00001.parquet"], BEING_WRITTEN),
        (PART, ["scores/_SUCCESS", "scores/_temporary_$folder$"], WRITTEN),
        (PART, ["scores/.spark-staging-4f/country=DE/part-00000.parquet"], BEING_WRITTEN),
        (PART, ["scores/__magic_job-1/x"], BEING_WRITTEN),
        (PART, ["scores/country=DE/_temporary"], BEING_WRITTEN),
        (PART, ["scores/country=FR/_temporary"], UNMARKED),
        (PART, ["scores/_delta_log/0.json"], WRITTEN),
        (OF_DATABRICKS, ["scores/country=DE/_started_77", "scores/_SUCCESS"], BEING_WRITTEN),
        (OF_DATABRICKS, ["scores/country=DE/_started_77", "scores/country=DE/_committed_77"], WRITTEN),
        (OF_DATABRICKS, ["scores/country=DE/_started_78", "scores/country=DE/_committed_77"], WRITTEN),
        ("part-00000", ["_SUCCESS"], WRITTEN),
        ("part-r-00000.gz", [], UNMARKED),
        ("part-0.parquet", ["_temporary"], WRITTEN),  # of pyarrow
        ("country=DE/data_0.parquet", [], WRITTEN),  # of DuckDB
    ],
)
def test_part_file_waits_for_the_markers_of_its_output(path: str, markers: list[str], state: OutputState) -> None:
    of_location = Markers()
    of_location.add(markers)
    assert of_location.state(path) == state


def test_output_directory_has_no_columns() -> None:
    assert spark_output.output_directory(PART) == "scores"
    assert spark_output.output_directory("country=DE/part-00000") == "."
