"""Files that run dcmon: units of systemd, manifests of Kubernetes, and a file for Docker Compose.

They have the settings that do not have their defaults. Secrets are never in them, only their names.
"""

import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from math import ceil
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from dcmon import setting_names
from dcmon.embedded import environment
from dcmon.settings import Settings
from dcmon.states import ProcessKind

PLACEHOLDER = "CHANGE-ME"
NEEDED_SECRETS = ("DCMON_DATABASE_URL", "DCMON_SECRET_KEYS")
LEFT_OUT = ("DCMON_DATA_DIR", "DCMON_RUN_AS", "DCMON_HTTP__HOST", "DCMON_ORG")  # of this machine, or of a person
DATA_DIR, PORT = "/var/lib/dcmon", 8000
STOP_SECONDS = 30  # of a worker, which stores its batch
LIVE, READY = "/health/live", "/health/ready"
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./%+@:=,~-]+")  # in a unit, others are quoted
# dcmon's exit code 8 is no failure of the whole: one organization could not be migrated, and the others are served.
PARTLY_DONE = 8
ALSO_PARTLY = ["sh", "-c", f'dcmon "$@" || {{ code=$?; [ $code -eq {PARTLY_DONE} ] || exit $code; }}', "dcmon"]
HARDENING = """NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
LockPersonality=yes
"""


@dataclass(frozen=True)
class Deployment:
    """What is generated for: the settings, the image, the namespace and the program's path."""

    settings: Settings
    image: str
    namespace: str
    program: str

    @property
    def workers(self) -> list[ProcessKind]:
        """The kinds of workers: ingest only with Kafka."""
        kinds = [ProcessKind.EVALUATE, ProcessKind.NOTIFY, ProcessKind.SCHEDULER]
        return [ProcessKind.INGEST, *kinds] if self.settings.kafka.bootstrap_servers else kinds

    @property
    def variables(self) -> dict[str, str]:
        """The settings that do not have their defaults and are no secrets."""
        changed = environment.without_defaults(self.settings)
        secret = {*self.secret_names, *LEFT_OUT}
        return {name: text for name, text in sorted(changed.items()) if name not in secret}

    @property
    def secret_names(self) -> list[str]:
        """The names of secrets that are set, and of those that a deployment needs."""
        secrets = [item for item in setting_names.variables(Settings) if "SecretStr" in str(item.field.annotation)]
        return [item.name for item in secrets if item.name in NEEDED_SECRETS or _is_set(self.settings, item.path)]

    @property
    def stop_seconds(self) -> int:
        """How long the endpoint may take to stop."""
        return max(STOP_SECONDS, ceil(self.settings.http.longest_stop) + 1)


def default_image() -> str:
    """Return the image of this version."""
    return f"dcmon:{metadata.version('dcmon')}"


def _is_set(settings: Settings, path: Sequence[str]) -> bool:
    value: Any = settings
    for name in path:
        value = getattr(value, name)
    return isinstance(value, SecretStr) and bool(value.get_secret_value())


def systemd(deployment: Deployment) -> dict[str, str]:
    """Return the units, and the file with their settings, by name."""
    kinds = " ".join(f"dcmon-worker@{kind}.service" for kind in deployment.workers)
    target = f"""[Unit]
Description=dcmon: the endpoint and the workers
Wants=dcmon-serve.service {kinds}

[Install]
WantedBy=multi-user.target
"""
    once = f"Type=oneshot\nRemainAfterExit=yes\nSuccessExitStatus={PARTLY_DONE}\n"
    migrate = _unit(deployment, "migration of the database", "migrate", once, "")
    restart = f"Restart=always\nRestartSec=2\nTimeoutStopSec={deployment.stop_seconds}\n"
    after = "After=dcmon-migrate.service\nRequires=dcmon-migrate.service\nPartOf=dcmon.target\n"
    return {
        "dcmon.target": target,
        "dcmon-migrate.service": migrate,
        "dcmon-serve.service": _unit(deployment, "endpoint", "serve", restart, after),
        "dcmon-worker@.service": _unit(deployment, "worker %i", "-v worker start %i", restart, after),
        "dcmon.env": _environment_file(deployment),
    }


def _unit(deployment: Deployment, what: str, arguments: str, service: str, after: str) -> str:
    return f"""[Unit]
Description=dcmon: {what}
Wants=network-online.target
After=network-online.target postgresql.service
{after}
[Service]
User=dcmon
EnvironmentFile=/etc/dcmon/dcmon.env
Environment=DCMON_DATA_DIR={DATA_DIR}
StateDirectory=dcmon
StateDirectoryMode=0700
ExecStart={_program(deployment.program)} {arguments}
{service}{HARDENING}"""


def _program(path: str) -> str:
    """Return the path of a program as systemd reads it in ExecStart: % begins a specifier, blanks end a word."""
    escaped = path.replace("%", "%%")
    return escaped if PLAIN_PATH.fullmatch(escaped) else '"' + _quoted(escaped).replace("\n", "\\n") + '"'


def _environment_file(deployment: Deployment) -> str:
    lines = [
        "# Settings of dcmon's services: /etc/dcmon/dcmon.env, owned by root, chmod 600.",
        *(f"{name}={PLACEHOLDER}" for name in deployment.secret_names),
        *(f'{name}="{_quoted(text)}"' for name, text in deployment.variables.items()),
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def kubernetes(deployment: Deployment) -> list[dict[str, Any]]:
    """Return the manifests, in the order in which they are applied."""
    labels = {"app.kubernetes.io/name": "dcmon"}
    configuration = {**deployment.variables, "DCMON_HTTP__HOST": "0.0.0.0", "DCMON_HTTP__PORT": str(PORT)}
    secrets = dict.fromkeys(deployment.secret_names, PLACEHOLDER)
    migration = _pod(deployment, "migrate", ["migrate"], {"command": ALSO_PARTLY}, {"restartPolicy": "OnFailure"})
    manifests: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": deployment.namespace, "labels": labels}},
        {**_head(deployment, "v1", "ConfigMap", "dcmon"), "data": configuration},
        {**_head(deployment, "v1", "Secret", "dcmon"), "type": "Opaque", "stringData": secrets},
        {
            **_head(deployment, "batch/v1", "Job", _job_name(migration)),
            "spec": {"backoffLimit": 6, "template": migration},
        },
        {
            **_head(deployment, "v1", "Service", "dcmon"),
            "spec": {"selector": _labels("serve"), "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
        },
        _workload(deployment, "serve", ["serve"], _endpoint(deployment)),
    ]
    # Workers have no probe: one that ends is started again, and none of them can mend PostgreSQL or an organization.
    kinds = map(str, deployment.workers)
    manifests += [_workload(deployment, kind, ["-v", "worker", "start", kind], {}) for kind in kinds]
    return manifests + [_budget(deployment, str(kind)) for kind in (ProcessKind.SERVE, *deployment.workers)]


def _job_name(template: Mapping[str, Any]) -> str:
    """Return a name of its own for each version and template: the template of a Job that exists can't be changed."""
    version = re.sub(r"[^a-z0-9]+", "-", metadata.version("dcmon").lower()).strip("-")[:30]
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()
    return f"dcmon-migrate-{version}-{digest[:8]}"


def _head(deployment: Deployment, version: str, kind: str, name: str, part: str = "") -> dict[str, Any]:
    labels = _labels(part) if part else {"app.kubernetes.io/name": "dcmon"}
    metadata_ = {"name": name, "namespace": deployment.namespace, "labels": labels}
    return {"apiVersion": version, "kind": kind, "metadata": metadata_}


def _labels(part: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": "dcmon", "app.kubernetes.io/component": part}


def _endpoint(deployment: Deployment) -> dict[str, Any]:
    scheme = "HTTPS" if deployment.settings.http.tls_certificate else "HTTP"
    live, ready = ({"httpGet": {"path": path, "port": "http", "scheme": scheme}} for path in (LIVE, READY))
    return {
        "ports": [{"name": "http", "containerPort": PORT}],
        "startupProbe": {**live, "periodSeconds": 2, "failureThreshold": 60},
        "livenessProbe": {**live, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
        "readinessProbe": {**ready, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 2},
    }


def _workload(deployment: Deployment, part: str, arguments: list[str], container: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_head(deployment, "apps/v1", "Deployment", f"dcmon-{part}", part),
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": _labels(part)},
            "template": _pod(deployment, part, arguments, container, {}),
        },
    }


def _pod(
    deployment: Deployment, part: str, arguments: list[str], container: Mapping[str, Any], pod: Mapping[str, Any]
) -> dict[str, Any]:
    memory = {"evaluate": "4Gi", "ingest": "2Gi"}.get(part, "1Gi")
    return {
        "metadata": {"labels": _labels(part)},
        "spec": {
            **pod,
            "enableServiceLinks": False,  # Kubernetes would set DCMON_PORT and the like
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": deployment.stop_seconds,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001,
                                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": part, "image": deployment.image, "args": arguments,
                    "envFrom": [{"configMapRef": {"name": "dcmon"}}, {"secretRef": {"name": "dcmon"}}],
                    "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": memory}},
                    "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                        "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "data", "mountPath": DATA_DIR}, {"name": "tmp", "mountPath": "/tmp"}],
                    **container,
                }
            ],
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
        },
    }  # fmt: skip


def _budget(deployment: Deployment, part: str) -> dict[str, Any]:
    return {
        **_head(deployment, "policy/v1", "PodDisruptionBudget", f"dcmon-{part}", part),
        "spec": {"minAvailable": 1, "selector": {"matchLabels": _labels(part)}},
    }


def compose(deployment: Deployment) -> dict[str, Any]:
    """Return a file for Docker Compose: dcmon's processes, with the database and the broker of the settings."""
    variables = {**deployment.variables, "DCMON_HTTP__HOST": "0.0.0.0", "DCMON_HTTP__PORT": str(PORT)}
    secrets = {name: f"${{{name}:?set it in .env or the environment}}" for name in deployment.secret_names}
    migrated = {"migrate": {"condition": "service_completed_successfully"}}

    def service(arguments: list[str], **more: Any) -> dict[str, Any]:
        usual = {"image": deployment.image, "command": arguments, "restart": "unless-stopped",
                 "environment": {name: text.replace("$", "$$") for name, text in variables.items()} | secrets,
                 "stop_grace_period": f"{deployment.stop_seconds}s", "read_only": True,
                 "tmpfs": ["/tmp", DATA_DIR], "security_opt": ["no-new-privileges:true"]}  # fmt: skip
        return {**usual, **more}

    probe = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{PORT}{LIVE}')"
    services = {
        "migrate": service(
            ["migrate"], restart="on-failure", entrypoint=[text.replace("$", "$$") for text in ALSO_PARTLY]
        ),
        "serve": service(
            ["serve"], depends_on=migrated, ports=[f"${{DCMON_BIND:-127.0.0.1}}:${{DCMON_PORT:-{PORT}}}:{PORT}"],
            healthcheck={"test": ["CMD", "python", "-c", probe], "interval": "10s", "timeout": "5s", "retries": 10},
        ),
    }  # fmt: skip
    for kind in deployment.workers:
        services[str(kind)] = service(["-v", "worker", "start", str(kind)], depends_on=migrated)
    return {"name": "dcmon", "services": services}


def program() -> str:
    """Return the path of the installed program."""
    return str(Path(sys.executable).parent / "dcmon")
