"""The door to PostgreSQL: sessions, roles, tables, log of changes, encryption, migrations, locks, work queue."""

from dcmon.db.connections import CONNECT_SECONDS as CONNECT_SECONDS
from dcmon.db.connections import engine as engine
from dcmon.db.connections import sqlstate as sqlstate
from dcmon.db.cursors import LOOK_UP as LOOK_UP
from dcmon.db.cursors import Array as Array
from dcmon.db.cursors import copy as copy
from dcmon.db.cursors import cursor as cursor
from dcmon.db.cursors import fetch as fetch
from dcmon.db.cursors import for_each as for_each
from dcmon.db.cursors import run as run
from dcmon.db.cursors import stream as stream
from dcmon.db.refusals import ROW_ERRORS as ROW_ERRORS
from dcmon.db.refusals import to_refusal as to_refusal
from dcmon.db.refusals import vanished as vanished
from dcmon.db.session import MIGRATIONS as MIGRATIONS
from dcmon.db.session import PACKAGE as PACKAGE
from dcmon.db.session import Organization as Organization
from dcmon.db.session import enter as enter
from dcmon.db.session import enter_public as enter_public
from dcmon.db.session import head as head
from dcmon.db.session import org_session as org_session
from dcmon.db.session import peeking as peeking
from dcmon.db.session import public_session as public_session
from dcmon.db.session import revision as revision
