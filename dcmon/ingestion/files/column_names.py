"""The names that people give to the columns of ids, times, predictions, probabilities and labels."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

from dcmon.storage.columns import LABEL, PREDICTION, PROBABILITIES, SAMPLE_ID, TIME

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")

# By field: names as `plain` writes them, in groups; a name of an earlier group fits better. English, then German,
# French, Spanish, Italian, Portuguese and Dutch.
_NAMES: Mapping[str, tuple[str, ...]] = {
    SAMPLE_ID: (
        "dc_sample_id sample_id",
        "id uuid guid row_id record_id request_id prediction_id event_id observation_id obs_id instance_id inference_id"
        " index_id unique_id"
        " kennung datensatz_id identifiant identificador identificativo",
        "key row record nr number nummer",
    ),
    TIME: (
        "dc_time",
        "timestamp ts event_time event_timestamp prediction_time prediction_timestamp predicted_at scored_at time"
        " datetime date_time date event_date inference_time request_time logged_at event_ts"
        " zeitstempel zeitpunkt zeit datum uhrzeit horodatage heure date_heure fecha fecha_hora marca_de_tiempo hora"
        " data data_ora ora data_hora marca_temporal tijdstip tijd",
        "day month tag mois jour dia",
    ),
    PREDICTION: (
        "dc_prediction",
        "prediction predictions pred preds predicted y_pred ypred y_hat yhat predicted_value predicted_class"
        " predicted_label prediction_label pred_label pred_class class_pred label_pred model_prediction model_output"
        " output forecast estimate"
        " vorhersage prognose schatzung schaetzung vorhergesagt prediccion predicho pronostico previsao predicao"
        " previsione predizione previsto predit prevision voorspelling",
    ),
    PROBABILITIES: (
        "dc_prediction_probabilities",
        "proba probas probability probabilities prob probs y_proba y_prob y_score prediction_proba"
        " prediction_probability prediction_probabilities predicted_proba predicted_probability"
        " predicted_probabilities pred_proba pred_prob probability_1 proba_1 prob_1 p"
        " wahrscheinlichkeit wahrscheinlichkeiten probabilite probabilites probabilidad probabilidades probabilita"
        " probabilidade kans",
        "score scores prediction_score pred_score model_score confidence konfidenz",
    ),
    LABEL: (
        "dc_label",
        "label labels target y y_true ytrue actual actuals ground_truth groundtruth truth true_label true_class"
        " true_value actual_value actual_label actual_class outcome observed gold"
        " zielwert zielgrosse zielgroesse zielvariable ziel ist istwert ist_wert tatsachlich tatsaechlich etikett"
        " etiquette cible verite reel etiqueta objetivo real etichetta obiettivo reale rotulo alvo werkelijk",
        "class klasse clase classe",
    ),
}  # fmt: skip
_ENDINGS: Mapping[str, re.Pattern[str]] = {
    SAMPLE_ID: re.compile(r".+_(?:id|uuid|guid|key|nr|no|number|nummer)|id_.+"),
    TIME: re.compile(
        r".+_(?:at|on|time|timestamp|ts|date|datetime|datum|zeit|zeitpunkt|fecha|day)"
        r"|(?:date|time|datum|fecha|data|timestamp)_.+"
    ),
    PREDICTION: re.compile(
        r"(?:pred|predicted|prediction|predictions|forecast|yhat|y_hat|y_pred)_.+"
        r"|.+_(?:pred|predicted|prediction|forecast|hat)"
    ),
    PROBABILITIES: re.compile(r".+_(?:proba|prob|probability|probabilities)|(?:proba|prob|probability|p)_.+"),
    LABEL: re.compile(r"(?:true|actual|label|target)_.+|.+_(?:label|target|actual|true)"),
}  # fmt: skip
_RANKS = {
    field: {name: rank for rank, group in enumerate(groups) for name in group.split()}
    for field, groups in _NAMES.items()
}
WORST_RANK = 3  # the rank of a name that only begins or ends like those of a field


@lru_cache(maxsize=8192)
def plain(name: str) -> str:
    """Return a name in lower case, without accents, and with _ between its words: sampleId is sample_id."""
    text = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    text = text.replace("y\N{COMBINING CIRCUMFLEX ACCENT}", "y_hat")
    text = "".join(character for character in text if not unicodedata.combining(character))
    return "_".join(word.lower() for word in _WORD.findall(text))


def rank(name: str, field: str) -> int | None:
    """Return how well a column's name fits a field: 0 is best, WORST_RANK worst; None: not at all."""
    simple = plain(name)
    if (known := _RANKS[field].get(simple)) is not None:
        return known
    return WORST_RANK if _ENDINGS[field].fullmatch(simple) else None


def candidates(names: Iterable[str], field: str, worst: int = WORST_RANK) -> list[str]:
    """Return the names that fit a field best: none, one, or several that fit equally well."""
    ranks = {name: level for name in names if (level := rank(name, field)) is not None and level <= worst}
    best = min(ranks.values(), default=None)
    return [name for name, level in ranks.items() if level == best]
