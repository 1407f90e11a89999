"""The names that people give to columns, in several languages and cases."""

import pytest

from dcmon.ingestion.files import column_names
from dcmon.storage.columns import LABEL, PREDICTION, PROBABILITIES, SAMPLE_ID, TIME


@pytest.mark.parametrize(
    ("field", "names"),
    [
        (SAMPLE_ID, "id ID Id uuid sample_id sampleId SampleID Sample-Id _dc_sample_id customer_id Kennung order.no"),
        (TIME, "timestamp ts Time DATE eventTime event_time created_at Zeitstempel Datum fecha horodatage scored_at"),
        (PREDICTION, "prediction pred y_pred yPred y_hat yhat ŷ Vorhersage prédiction predicción previsão predicted"),
        (PROBABILITIES, "proba score y_proba probability prob_1 Wahrscheinlichkeit probabilité p_yes p(yes)"),
        (LABEL, "label target y y_true actual Actual ground_truth Zielwert étiquette etiqueta true_label class"),
    ],
)
def test_usual_name_is_known(field: str, names: str) -> None:
    for name in names.split():
        assert column_names.rank(name, field) is not None, name


@pytest.mark.parametrize("name", ["age", "country", "identity", "timeout", "candidate", "scorecard", "yield", "idea"])
def test_other_name_is_not_known(name: str) -> None:
    for field in (SAMPLE_ID, TIME, PREDICTION, PROBABILITIES, LABEL):
        assert column_names.rank(name, field) is None, field


def test_best_name_wins_and_equal_names_are_all_returned() -> None:
    names = ["customer_id", "id", "created_at", "updated_at", "prediction", "predicted_price"]
    assert column_names.candidates(names, SAMPLE_ID) == ["id"]
    assert column_names.candidates([*names, "time"], TIME) == ["time"]
    assert column_names.candidates(names, TIME) == ["created_at", "updated_at"]
    assert column_names.candidates(["start_time", "end_time"], TIME) == ["start_time", "end_time"]
    assert column_names.candidates(names, PREDICTION) == ["prediction"]
    assert column_names.candidates(names, LABEL) == []
