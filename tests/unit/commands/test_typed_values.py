"""What a person is told who types a wrong value, found by walking all commands: one form, and the nearest name."""

import json
from typing import Any

import pytest
import typer
from typer.exceptions import TyperException

from dcmon import cli
from dcmon.alerting.state_machine import MissingValuePolicy
from dcmon.commands.logs import PARTS
from dcmon.commands.shared import choices, options, usage_errors
from dcmon.commands.shared.arguments import TIME_RANGE
from dcmon.commands.shared.completion import CHOICES, CHOICES_OF_COMMAND
from dcmon.commands.shared.groups import OLD_OPTIONS, with_new_options
from dcmon.commands.shared.help_texts import choices_of, name_of, value_of
from dcmon.commands.views.monitor import COMPARE_WORDS
from dcmon.embedded import log_files
from dcmon.ingestion.files import reader
from dcmon.windows import Frequency
from tests.helpers.command_tree import leaves
from tests.helpers.command_tree import options as options_of

ROOT: Any = typer.main.get_command(cli.app)
PARAMETERS = {
    f"{name} {name_of(parameter)}": parameter
    for name, command in {"dcmon": ROOT, **leaves()}.items()
    for parameter in command.params
}
KINDS_OF_TIME = {"TIME", "DURATION"}
WITH_CHOICES = {name: parameter for name, parameter in PARAMETERS.items() if choices_of(parameter)}
# What a shell offers of parameters that take other values, too: the words of each are checked where it is parsed.
OFFERED_AND_FREE = {
    "aggregation", "cap", "conditions", "days", "defaults", "delimiter", "encoding", "match", "matchers", "page",
    "profile", "repeat", "rows", "term", "time_zone", "topic",
}  # fmt: skip


def option_of(command: Any, name: str) -> Any:
    """Return an option of a command by its name."""
    return next(parameter for parameter in command.params if name in parameter.opts)


def refusal(*words: str) -> str:
    """Return the message about a command line that can't be parsed."""
    with pytest.raises(TyperException) as error:
        ROOT.main([*words], "dcmon", standalone_mode=False)
    return usage_errors.message(error.value)


@pytest.mark.parametrize("name", WITH_CHOICES)
def test_wrong_choice_gets_the_nearest_one(name: str) -> None:
    parameter = WITH_CHOICES[name]
    for choice in choices_of(parameter):
        assert parameter.type.convert(choice.upper(), parameter, None) == choice
        with pytest.raises(TyperException) as error:
            parameter.type.convert(choice + choice[-1], parameter, None)
        expected = f"Do you mean {str(choice)!r}?" if len(choice) > 1 else "It is one of"
        assert expected in usage_errors.message(error.value)


def test_no_option_has_choices_of_typer_alone() -> None:
    """Its message has another form, and no nearest name: use choice_option or choice_argument."""
    assert [name for name, parameter in PARAMETERS.items() if type(parameter.type).__name__ == "TyperChoice"] == []


def test_what_a_shell_offers_is_a_choice_or_known_to_be_free() -> None:
    offered = {*CHOICES, *(key.split()[-1] for key in CHOICES_OF_COMMAND)}
    names = {"check", "name", "names", "to"}  # of objects, and the ends of a topic
    assert offered - names == OFFERED_AND_FREE


def test_choices_are_those_of_packages_loaded_later() -> None:
    """--help does not import the packages that have them, so they are written twice."""
    assert tuple(Frequency) == choices.FREQUENCIES
    assert tuple(log_files.PARTS) == PARTS
    assert set(MissingValuePolicy) == set(options.VERDICTS)
    assert list(COMPARE_WORDS) == choices_of(PARAMETERS["monitor create --compare"])
    assert set(choices.FORMATS) == set(reader.FORMATS)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            "alert list --severity hgih",
            "--severity: There is no severity 'hgih'. Do you mean 'high'? It is one of low, medium, high or critical.",
        ),
        (
            "alrt list",
            "There is no command 'alrt'. Do you mean 'alert'? \"dcmon --help\" lists the commands.",
        ),
        (
            "alert lst",
            "There is no command 'lst'. Do you mean 'list'? \"dcmon alert --help\" lists the commands.",
        ),
        (
            "silence rename 1 x",
            "There is no command 'rename'. It is one of create, delete, list, set or show."
            ' "dcmon silence --help" lists the commands.',
        ),
        (
            "silence get 1",
            "There is no command 'get'. Do you mean 'list' or 'show'? \"dcmon silence --help\" lists the commands.",
        ),
        (
            "mute edit nights",
            "There is no command 'edit'. Do you mean 'set'? \"dcmon mute --help\" lists the commands.",
        ),
        (
            "source mv a b",
            "There is no command 'mv'. Do you mean 'rename'? \"dcmon source --help\" lists the commands.",
        ),
        (
            "list",
            "There is no command 'list'. A noun comes first, as in 'dcmon alert list'. \"dcmon --help\" lists the"
            " commands.",
        ),
        (
            "webhok list",
            "There is no command 'webhok'. Do you mean 'receiver'? \"dcmon --help\" lists the commands.",
        ),
        (
            "migrate sttus",
            "There is no command 'sttus'. Do you mean 'status'? \"dcmon migrate --help\" lists the commands.",
        ),
        (
            "alert list --limt 3",
            "There is no option '--limt'. Do you mean '--limit'? \"dcmon alert list --help\" lists the options.",
        ),
        (
            "alert list --ogr x",
            "There is no option '--ogr'. Do you mean '--org'? \"dcmon alert list --help\" lists the options.",
        ),
        (
            "alert list -z",
            "There is no option '-z'. \"dcmon alert list --help\" lists the options.",
        ),
        (
            "receiver pause x --untl tomorrow",
            "There is no option '--untl'. Do you mean '--until'? \"dcmon receiver pause --help\" lists the options.",
        ),
        ("alert list --limit 0", "--limit: '0' is not a whole number of 1 or more."),
        ("alert list --limit 1e3", "--limit: '1e3' is not a whole number of 1 or more."),
        ("migrate --parallel 65", "--parallel: '65' is not a whole number from 1 to 64."),
        ("alert show three", "ALERT: 'three' is not a whole number."),
        ("model create x --label-ratio half", "--label-ratio: 'half' is not a number."),
        ("rule create", 'The argument MONITOR is missing. "dcmon rule create --help" shows how to use the command.'),
        ("alert ack", 'The argument ALERT is missing. "dcmon alert ack --help" shows how to use the command.'),
        (
            "generate completion",
            "The argument SHELL is missing."
            " It is one of bash, zsh or fish."
            ' "dcmon generate completion --help" shows how to use the command.',
        ),
        ("alert list --limit", "The option --limit needs a value after it."),
        ("alert list --all=yes", "The option --all takes no value."),
        (
            "alert history 1 a b",
            'There are too many arguments: a b. "dcmon alert history --help" lists those that it takes.',
        ),
        (
            "model set-defaults credit sdkk",
            "There is no set of defaults 'sdkk'. Do you mean 'sdk'? It is one of all, sdk or none.",
        ),
        (
            "monitor history x --since yestrday",
            "--since: 'yestrday' is not a time. Do you mean 'yesterday'?"
            " A time looks like 2026-03-10, 2026-03-10T14:30, 7d (ago), +2h, yesterday or now.",
        ),
    ],
)
def test_wrong_usage_is_refused_in_one_form(typed: str, message: str) -> None:
    assert refusal(*typed.split()) == message


@pytest.mark.parametrize(
    "typed", ["alert lst -o json", "-o json alert lst", "alert list --limit x -o JSON", "alert list --limit -o=json"]
)
def test_wrong_usage_is_an_object_for_programs(
    typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["dcmon", *typed.split()])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    shown = capsys.readouterr()
    error = json.loads(shown.err)["error"]
    assert (exit_.value.code, error["exit_code"], error["kind"], shown.out) == (2, 2, "usage", "")


@pytest.mark.parametrize("typed", ["docs", "profile list", "validate --schema"])
def test_unknown_setting_is_refused_where_none_is_read(
    typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page that the message names is shown."""
    monkeypatch.setenv("DCMON_FOO", "1")
    codes = []
    for words in (typed.split(), ["docs", "settings"], [*typed.split(), "--help"]):
        monkeypatch.setattr("sys.argv", ["dcmon", *words])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        codes.append(exit_.value.code or 0)
    assert codes == [2, 0, 0]
    refused = 'DCMON_FOO in the environment is no setting. "dcmon docs settings" lists the settings.'
    assert capsys.readouterr().err.strip() == f"dcmon: {refused}"


def test_group_without_a_command_shows_its_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program is told in one sentence."""
    for words in (["alert"], ["alert", "-o", "json"]):
        monkeypatch.setattr("sys.argv", ["dcmon", *words])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        assert exit_.value.code == 2
    assert "Commands:" in (shown := capsys.readouterr().err)
    assert json.loads(shown.splitlines()[-1])["error"]["message"] == 'Name a command: "dcmon alert --help" lists them.'


def test_what_stands_for_a_value_says_what_it_is() -> None:
    """TEXT is for prose, and for a text that data has. Name others in METAVARS of help_texts, or with metavar=."""
    prose = {"--note", "--reason", "--description", "--null"}
    vague = {name for name, parameter in PARAMETERS.items() if takes_value(parameter) and value_of(parameter) == "TEXT"}
    assert {name for name in vague if name.split()[-1] not in prose} == set()


def test_times_and_durations_are_parsed_with_their_options() -> None:
    """So that a wrong one names its option."""
    named = {name: parameter for name, parameter in PARAMETERS.items() if takes_value(parameter)}
    times = {name: parameter for name, parameter in named.items() if value_of(parameter).split("|")[0] in KINDS_OF_TIME}
    assert len(times) > 50
    terms = {name for name, parameter in times.items() if "none" in value_of(parameter) or "end" in value_of(parameter)}
    for name in times.keys() - terms:
        with pytest.raises(TyperException) as error:
            times[name].type.convert("1M", times[name], None)
        assert "months differ in length" in str(error.value), name


def takes_value(parameter: Any) -> bool:
    """Return True for a listed option that has a value after it."""
    is_option = parameter.param_type_name == "option" and not parameter.hidden
    return is_option and not (parameter.is_flag or parameter.count)


RANGES = [
    name
    for name, command in leaves().items()
    if set(TIME_RANGE) <= options_of(command) and all(value_of(option_of(command, end)) == "TIME" for end in TIME_RANGE)
]


def test_time_range_has_the_same_options_everywhere() -> None:
    """The names of earlier releases, which some commands had, still work."""
    times = {name for name, parameter in PARAMETERS.items() if value_of(parameter).split("|")[0] == "TIME"}
    assert {name for name in times if name.split()[-1] in ("--from", "--to")} == {"ingest seek --to"}
    for name in RANGES:
        old_options = OLD_OPTIONS[name.split()[0]]
        assert with_new_options(["--from=2d", "--to", "1d"], old_options) == ["--since=2d", "--until", "1d"], name


@pytest.mark.parametrize("name", RANGES)
def test_time_range_that_ends_first_is_refused(name: str) -> None:
    """In every command that has one, before it looks at anything else."""
    first, last = TIME_RANGE
    required = [parameter for parameter in leaves()[name].params if parameter.required]
    arguments = ["1" for parameter in required if parameter.param_type_name == "argument"]

    said = refusal(*name.split(), *arguments, first, "1h", last, "2h")

    assert said.startswith(f"{last}: The time range ends at ")
    assert f"{first} is the earlier time" in said


def test_commands_with_time_ranges_are_known() -> None:
    assert {"logs", "monitor run", "monitor backfill", "sample delete", "silence create"} <= set(RANGES)
