"""The fields of the data of each list, in their order: for completion, and for the head of a list without rows.

A test compares them with the data of all lists.
"""

from collections.abc import Mapping
from typing import Any

FIELDS = {
    "alert list": "id severity state monitor since until last windows first worst rule driver now version"
    " acknowledged_by resolved_by held",
    "alert history": "at what by window_end severity value note",
    "audit-log list": "id at author via address token request_id action kind object_id name before after",
    "check list": "check group needs choices also_called",
    "dead-letter list": "id topic partition offset org_id kind target bytes reason created_at sent_at state"
    " resolved_at resolved_by",
    "invitation list": "id email role invited_by created_at expires_at",
    "member list": "email id full_name role created_at last_used_at",
    "model list": "name id task versions samples newest_sample",
    "monitor history": "window_start window_end state metric value low high metrics intervals noise n revision"
    " reference_revision driver entries reason version_id version compared_start compared_end compared_n"
    " compared_revision of labelled label_coverage rows how monitor_revision seconds computed_at",
    "monitor list": "name id monitor default every metric last state window_end history rules version liveness awaited",
    "mute list": "name when matchers holds_until",
    "notification list": "id state kind severity alert monitor receiver created_at attempts next_attempt delivered_at"
    " message in_digest reason",
    "org list": "name id schema retention samples_per_minute labels_per_minute sample_bytes_per_minute"
    " label_bytes_per_minute state",
    "profile list": "name current used_by org output settings",
    "quarantine list": "model version kind reason rows first last example field value detail",
    "quarantine list --rows": "id model version kind sample_id reason field value detail logged_at source file position"
    " row",
    "receiver list": "name kind to severities models cap repeat options state paused_until paused_because"
    " old_secret_until waiting dead last_delivery last_error created_at",
    "reference list": "name model version rows revision",
    "rule list": "id name monitor condition severity for keep_firing min_n no_data error inhibit active open alerts"
    " failing",
    "silence list": "id matchers from until by reason state",
    "source list": "name url kind model version mapping dialect constants files loaded failed stored quarantined"
    " is_of_path is_active scanned_at last_error lost_within_a_day",
    "source show-keys": "type aws_access_key_id aws_secret_access_key region",
    "token list": "prefix name user scope highest_role state created_at expires_at last_used_at",
    "version list": "name model version id features samples reference newest_sample state file_columns",
}


def of_list(command: str, typed: Mapping[str, Any]) -> list[str]:
    """Return the fields of a list, also of one that an option changes, as "quarantine list --rows"."""
    options = [f"{command} --{name}" for name, value in typed.items() if value is True]
    return next((FIELDS[name] for name in [*options, command] if name in FIELDS), "").split()
