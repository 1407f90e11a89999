"""The demo from beginning to end: start the system, train, register, replay, wait, show."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

from dcmon.app import App
from dcmon.demo import state, summary
from dcmon.demo.http_client import Endpoint
from dcmon.demo.progress import Stage
from dcmon.demo.state import Place
from dcmon.demo.webhook_receiver import Receiver
from dcmon.embedded import supervisor, supervisor_state
from dcmon.settings import Settings

if TYPE_CHECKING:
    from dcmon.demo.classifier import Trained
    from dcmon.demo.replay import Replay

LOOPBACK = "127.0.0.1"
FIRST_DAY = date(2013, 4, 1)
LONGEST_WAIT = timedelta(seconds=120)


@dataclass(frozen=True)
class Material:
    """What the demo sends: a trained classifier, and its predictions for April to December."""

    trained: "Trained"
    replay: "Replay"


def tell(app: App, *, fresh: bool, stay: bool, report: Path | None) -> None:
    """Run the demo. `stay`: keep the system up afterwards until Ctrl-C. Raises DcmonError; leaves no process behind."""
    stage, settings = Stage(), _settings(app.settings)
    with ThreadPoolExecutor(1) as pool, _system(stage, settings) as running:
        is_over = state.is_over(settings.data_dir) and not fresh
        material = None if is_over else pool.submit(prepare, stage)
        with App(settings, app.output) as inside, _receiver(stage) as receiver:
            if fresh:
                state.clear(inside)
            _play(stage, inside, receiver, material, report, running)
        if stay:
            summary.stay(stage, settings)


def _settings(settings: Settings) -> Settings:
    """The settings with the demo's receiver on the allow-list, as an operator does for receivers on the premises.

    Its year is replayed in minutes: that is history, but nobody is to wait for the end of it.
    """
    allow = [*settings.webhooks.allow, *([] if LOOPBACK in settings.webhooks.allow else [LOOPBACK])]
    webhooks = settings.webhooks.model_copy(update={"allow": allow})
    evaluate = settings.evaluate.model_copy(update={"backfill_quiet": timedelta()})
    return settings.model_copy(update={"webhooks": webhooks, "evaluate": evaluate})


@contextmanager
def _system(stage: Stage, settings: Settings) -> Iterator[bool]:
    """The system, started unless it runs; what was started is stopped. Yields whether it ran before."""
    ran = supervisor_state.read(settings) is not None
    if ran:
        stage.say(f"dcmon runs already at {settings.url}: the demo uses it and leaves it running")
    else:
        stage.say(f"Starting dcmon at {settings.url}, data in {settings.data_dir}")
    try:
        supervisor.start_in_background(settings, die_with_parent=True)
        yield ran
    finally:
        if not ran:
            stage.say("Stopping dcmon; the data stays")
            supervisor.stop(settings)


@contextmanager
def _receiver(stage: Stage) -> Iterator[Receiver]:
    receiver = Receiver(stage.arrived)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()


def prepare(stage: Stage) -> Material:
    """Read the flights, train on January to March, predict April to December."""
    from dcmon.demo import classifier, flights, replay

    found = flights.load()
    stage.say(f"Read {len(found):,} flights of 2013; training a classifier on January to March")
    trained = classifier.train(found)
    held = trained.held_out
    stage.say(f"Trained: on flights it had not seen, accuracy {held['accuracy']:.3f} and F1 {held['f1']:.3f}")
    rest = found[~found["month"].isin(flights.REFERENCE_MONTHS)]
    return Material(trained, replay.replay(trained.predict(rest)))


def _play(
    stage: Stage, app: App, receiver: Receiver, material: "Future[Material] | None", report: Path | None, ran: bool
) -> None:
    here = state.find(app, FIRST_DAY)
    receiver.secret = state.provide_receiver(app, here.org, receiver.url)
    endpoint = Endpoint(app.settings.url, here.token)
    try:
        if here.go_on is None or material is None:
            stage.say("The year was replayed before: here is what it showed (--fresh starts over)")
        else:
            _send(stage, app, here, endpoint, material.result())
        _wait(stage, app, here)
    finally:
        endpoint.close()
    summary.show(stage, app, here, report or app.settings.data_dir / "report.html", ran)


def _send(stage: Stage, app: App, here: Place, endpoint: Endpoint, material: Material) -> None:
    from dcmon.demo import config, setup

    registered = setup.register(endpoint, material.trained, config.plan(), stage.say)
    replay = material.replay
    assert here.go_on is not None
    if here.go_on > FIRST_DAY:
        stage.say(f"Going on with {here.go_on}")
    stage.say(f"Replaying {replay.samples:,} flights and {replay.labels:,} labels, April to December, in order of time")
    done = max(0, (here.go_on - replay.first).days)
    with stage.progress("Replay", len(replay), done) as bar:
        for step in replay.steps(here.go_on):
            endpoint.send_samples(registered.version_id, step.samples)
            endpoint.send_labels(registered.model_id, step.labels)
            here.keep(step.day)
            bar.advance(1, f"{step.day:%d %b}, {stage.alerts} alerts")
    _arrive(stage, app, here, registered.version_id, replay)
    here.keep(None)
    stage.say("Replayed. Waiting for the last windows")


def _arrive(stage: Stage, app: App, here: Place, version_id: int, replay: "Replay") -> None:
    """Wait until what was acknowledged is stored: with Kafka in between that is a moment later."""
    counted = text("select coalesce(sum(n), 0), coalesce(sum(n_labelled), 0) from quarter_hours where version_id = :id")
    ends, said = stage.seconds + LONGEST_WAIT.total_seconds(), False
    while stage.seconds < ends:
        with app.org(here.org) as session:
            n, labelled = session.execute(counted, {"id": version_id}).one()
        if n >= replay.samples and labelled >= replay.labels:
            return
        if not said:
            stage.say("Everything is acknowledged; waiting until it is stored")
        said = True
        time.sleep(0.5)
    stage.say(
        f"[red]Stored so far: {n:,} samples of {replay.samples:,}, {labelled:,} labels of {replay.labels:,}[/red]"
    )


def _wait(stage: Stage, app: App, here: Place) -> None:
    """Wait until every complete window is evaluated and every notification is on its way."""
    waiting = threading.Event()
    ends = stage.seconds + LONGEST_WAIT.total_seconds()
    while _pending(app, here):
        if stage.seconds > ends:
            logs = app.settings.data_dir / "logs" / "evaluate.log"
            stage.say(f"[red]Some windows are not evaluated yet; what follows lacks them. See {logs}[/red]")
            return
        waiting.wait(0.25)


def _pending(app: App, here: Place) -> bool:
    from dcmon.monitoring import due_windows

    with app.org(here.org) as session:
        if session.scalar(text("select exists (select 1 from quarter_hours where is_touched)")):
            return True
        waits = text(
            "select exists (select 1 from notifications"
            " where delivered_at is null and dead_at is null and attempts < 3)"
        )
        return due_windows.has_claimable(session) or bool(session.scalar(waits))
