"""Call every public method of the official, unmodified SDK, and print what became of each case as JSON.

It is run by the SDK's own Python. Usage: python tests/helpers/sdk_conformance HOST TOKEN [TASK …]
"""

import inspect
import json
import sys
import traceback
import warnings

warnings.filterwarnings("ignore")

import api_methods  # noqa: E402
import client_methods  # noqa: E402
import model_methods  # noqa: E402
import version_methods  # noqa: E402
from cases import CASES, printed  # noqa: E402
from deepchecks_client import DeepchecksClient  # noqa: E402
from deepchecks_client.core.api import API  # noqa: E402
from deepchecks_client.tabular.client import DeepchecksModelClient, DeepchecksModelVersionClient  # noqa: E402
from worlds import CLASSES, World  # noqa: E402

CLASSES_OF_SDK = (DeepchecksClient, DeepchecksModelClient, DeepchecksModelVersionClient, API)
# Each needs what the ones before have made.
ORDER = (
    client_methods.instantiate, client_methods.get_or_create_model, model_methods.version, model_methods.get_versions,
    version_methods.log_batch, version_methods.log_sample, model_methods.log_batch_labels, model_methods.log_label,
    version_methods.get_production_data, version_methods.upload_reference, model_methods.add_checks,
    model_methods.add_monitor, api_methods.models,
)  # fmt: skip


def public_methods() -> list[str]:
    """Return all public methods of the SDK's clients, as "Class.method"."""
    return [
        f"{kind.__name__}.{name}"
        for kind in CLASSES_OF_SDK
        for name, member in inspect.getmembers(kind)
        if not name.startswith("_") and callable(member)
    ]


def run(world: World) -> dict[str, str | None]:
    """Run all cases on a task. Return the traceback of each, None for those that passed.

    Cases of methods that this release of the SDK does not have are left out.
    """
    there = {method: function for method, function in CASES.items() if method in public_methods()}
    functions = [
        *(function for function in ORDER if function in there.values()),
        *(function for function in there.values() if function not in ORDER),
    ]
    results = {}
    for function in dict.fromkeys(functions):
        try:
            printed(lambda function=function: function(world))
        except Exception:
            results[function.__module__, function.__name__] = traceback.format_exc(limit=4)
    return {method: results.get((case.__module__, case.__name__)) for method, case in there.items()}


if __name__ == "__main__":
    host, token, *chosen = sys.argv[1:]
    tasks = {task: run(World(host, token, task, DeepchecksClient(host, token))) for task in chosen or CLASSES}
    print(json.dumps({"methods": public_methods(), "tasks": tasks}))
