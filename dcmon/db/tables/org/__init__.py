"""Tables of lineage "org".

Tables of samples, labels and references are created at run time (dcmon.storage.sample_tables).
"""

from dcmon.db.tables.org.alerts import Alert, AlertChange, AlertRule, MuteTime, Silence
from dcmon.db.tables.org.audit_log import AuditLogEntry
from dcmon.db.tables.org.ingestion import Batch, DataSource, IngestedFile, IngestOffset, StoreKeys
from dcmon.db.tables.org.models import Model, ModelMember, ModelNote, Version, VersionStatistics
from dcmon.db.tables.org.monitors import Baseline, Check, Dashboard, DueWindow, Monitor, MonitorWithCheck, Result
from dcmon.db.tables.org.receivers import ChosenLevels, Notification, ReceiverProbe, ReceiverTest, Webhook
from dcmon.db.tables.org.requests import IdempotencyKey
from dcmon.db.tables.org.samples import Quarantined, QuarterHour, Receipt

__all__ = [
    "Alert",
    "AlertChange",
    "AlertRule",
    "AuditLogEntry",
    "Baseline",
    "Batch",
    "Check",
    "ChosenLevels",
    "Dashboard",
    "DataSource",
    "DueWindow",
    "IdempotencyKey",
    "IngestOffset",
    "IngestedFile",
    "Model",
    "ModelMember",
    "ModelNote",
    "Monitor",
    "MonitorWithCheck",
    "MuteTime",
    "Notification",
    "Quarantined",
    "QuarterHour",
    "Receipt",
    "ReceiverProbe",
    "ReceiverTest",
    "Result",
    "Silence",
    "StoreKeys",
    "Version",
    "VersionStatistics",
    "Webhook",
]
