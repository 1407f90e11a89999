"""The root command: global options, lazy loading of commands, and the handling of all errors."""

import logging
import os
import re
import select
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

from dcmon import authors, data_formats, profiles, text, wrapping
from dcmon.colors import Color, LogFormat
from dcmon.commands.shared import completion, help_texts, usage_errors
from dcmon.commands.shared.arguments import complete
from dcmon.commands.shared.choices import choice_option
from dcmon.commands.shared.groups import OLD_OPTIONS, SuggestingGroup, with_new_options, with_new_words
from dcmon.commands.shared.option_groups import option_group
from dcmon.complete_files import WRITE_ERRORS
from dcmon.data_formats import Format
from dcmon.errors import DcmonError, UnstorableText
from dcmon.formatting import printable
from dcmon.output import Output

COMMANDS = Path(__file__).parent / "commands"
# Parameters of commands that people choose, or that name what people have chosen. Others are data.
LINES = frozenset({
    "name", "new_name", "rename", "model", "models", "monitor", "check", "version", "email", "emails", "owner", "user",
    "receiver", "author", "by", "reason", "kind", "object_", "prefixes", "prefix", "group", "time_zone", "role",
    "scope", "state", "severity", "task", "topic", "frequency_", "notification_ids", "entry_ids", "names", "versions",
})  # fmt: skip
PROSE = frozenset({"description", "note", "message"})
OPTIONS_WITH_VALUE = ("-o", "--output", "--fields", "--org", "--profile", "--color", "--log-format")
FLAGS = ("--verbose", "--quiet")
SHORT = re.compile("-[qv]*(?P<option>o(?P<value>.*))?")  # -v, -vv, -qv, -o, -ojson, -o=json, -qojson


class Commands(SuggestingGroup):
    """The commands: the modules of dcmon/commands, each imported only when it is called.

    The help of `dcmon` reads the first line of each module's docstring as text and imports none of them.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(path.stem.replace("_", "-") for path in COMMANDS.glob("[a-z]*.py"))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = typer.main.get_command(import_module(f"dcmon.commands.{_module(cmd_name)}").app)
        command.name = cmd_name
        _check_texts(command, OLD_OPTIONS.get(cmd_name, {}))
        help_texts.prepare(command, cmd_name)
        if ctx is not None and ctx.resilient_parsing:
            completion.attach(command, (cmd_name,))
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, with_new_words(args))

    def make_context(self, info_name: Any, args: list[str], *arguments: Any, **options: Any) -> Any:
        if options.get("resilient_parsing"):  # a shell completes a command line
            completion.attach_globals(self, args)
            args = completion.completed_words(args, OPTIONS_WITH_VALUE, globals_first)
        context = super().make_context(info_name, list(args), *arguments, **options)
        context.meta[completion.TYPED] = args
        return context

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.Abort:  # Ctrl-C, or the end of the input, at a question; typer would exit with 1
            print(file=sys.stderr)
            _fail("interrupted", 130, "interrupted")
        except BrokenPipeError:  # typer would exit with 1
            if not _has_lost_its_reader():
                raise
            _discard_output()
            raise typer.Exit from None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        help_texts.write_panels(formatter, first_line)

    def get_params(self, ctx: Any) -> Any:
        help_texts.prepare_parameters(self)
        return super().get_params(ctx)


def _check_texts(command: Any, old_options: Mapping[str, str]) -> None:
    """Let a command, or all of a group, accept old options; refuse hidden characters and unusable values."""
    for subcommand in getattr(command, "commands", {}).values():
        _check_texts(subcommand, old_options)
    parse = command.parse_args

    def parse_and_check(ctx: Any, arguments: list[str]) -> Any:
        remaining = parse(ctx, with_new_options(arguments, old_options))
        for name, value in ctx.params.items():
            require = text.require_line if name in LINES else text.require_prose if name in PROSE else None
            for item in value if isinstance(value, list | tuple) else [value]:
                if require is not None and isinstance(item, str):
                    require(item)
        complete(ctx)
        return remaining

    command.parse_args = parse_and_check


def _module(command: str) -> str:
    """Return the name of a command's module: that of audit-log is audit_log."""
    return command.replace("-", "_")


def first_line(command: str) -> str:
    """Return the first line of the docstring of a command's module."""
    with (COMMANDS / f"{_module(command)}.py").open(encoding="utf-8") as source:
        return source.readline().strip().strip('"').strip()


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  dcmon demo
  dcmon up
  dcmon status
  dcmon -o json alert list

"dcmon COMMAND --help" shows a command with examples; options of all commands may stand anywhere.""",
)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        from importlib.metadata import version

        print(f"dcmon {version('dcmon')}")
        raise typer.Exit


def _parse_output(
    output: Annotated[
        Format | None,
        choice_option(
            "-o",
            "--output",
            what="output format",
            known=Format,
            help='Format of the results; wide: no cell is folded; name: one a line, for "dcmon NOUN show -".',
        ),
    ] = None,
    fields: Annotated[
        str, typer.Option("--fields", metavar="A,B", help="Only these fields of the data, like id,since.")
    ] = "",
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print only results and errors.")] = False,
    color: Annotated[
        Color,
        choice_option(
            "--color",
            what="colour mode",
            known=Color,
            help="Colour severities and states; auto: on a terminal, without NO_COLOR.",
        ),
    ] = Color.AUTO,
    profile: Annotated[
        str | None, typer.Option("--profile", help="Profile of settings; default: DCMON_PROFILE, or the current one.")
    ] = None,
) -> Output:
    profiles.choose(profile)
    names = [field.strip() for field in fields.split(",") if field.strip()]
    return Output(output or _default_format([]), quiet=quiet, fields=names, color=color)


@app.callback()
@option_group("output", _parse_output)
def root(
    ctx: typer.Context,
    output: Output,
    org: Annotated[str | None, typer.Option("--org", help="Organization; default: DCMON_ORG, or the only one.")] = None,
    verbose: Annotated[
        int, typer.Option("-v", "--verbose", count=True, show_default=False, help="Log more; twice: log everything.")
    ] = 0,
    log_format: Annotated[
        LogFormat | None,
        choice_option(
            "--log-format",
            what="format of logs",
            known=LogFormat,
            help="Format of logs; default: text on a terminal, else json.",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Watch machine-learning models in production.

    Samples come in over HTTP, Kafka or files; monitors run checks on time windows; alert rules judge the values.
    """
    from dcmon.app import App, collect_garbage_rarely
    from dcmon.log import set_up

    text.require_line(org or "")
    collect_garbage_rarely()
    set_up(-1 if output.quiet else verbose, log_format, output.color)
    authors.set_for_process(authors.on_this_host(authors.operator_name(), "cli"))
    ctx.obj = App(output=output, org=org)
    ctx.call_on_close(ctx.obj.close)


def main() -> None:
    """Run the command line, and exit with a code that dcmon.errors lists."""
    try:
        _run()
    except KeyboardInterrupt:
        _fail("interrupted", 130, "interrupted")
    finally:
        # The work is done and the exit code is set: a Ctrl-C while Python shuts down must not replace the exit code.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run() -> None:
    arguments = globals_first(sys.argv[1:])
    try:
        sys.exit(app(args=arguments, prog_name="dcmon", standalone_mode=False))
    except TyperException as error:
        _refuse_usage(error)
    except typer.Abort:
        _fail("interrupted", 130, "interrupted")
    except DcmonError as error:
        _end(error, str(error), error.exit_code)
    except OSError as error:
        if error.errno not in WRITE_ERRORS:
            _end_unexpected(error)
        _end(error, _unwritten(error), 3)
    except UnicodeEncodeError as error:  # an argument that is not UTF-8
        refused = UnstorableText.of(error.object)
        _end(error, str(refused), refused.exit_code)
    except Exception as error:
        if (refusal := _refusal(error)) is not None:
            _end(error, str(refusal), refusal.exit_code)
        _end_unexpected(error)


def _refuse_usage(error: TyperException) -> NoReturn:
    is_object = _format(globals_first(sys.argv[1:])).has_error_objects
    sentences = usage_errors.message(error, is_object)
    if usage_errors.is_help(error) and not is_object:
        print(sentences, file=sys.stderr)
        sys.exit(error.exit_code)
    _fail(sentences, error.exit_code, "usage")


def _unwritten(error: OSError) -> str:
    """Return what a command could not write: a file, or its result, of which nothing more is tried."""
    if error.filename is not None:
        return f"{error.filename} can't be written: {error.strerror}"
    _discard_output()
    return f"The result can't be written: {error.strerror}. What the command has changed stays changed."


def _end_unexpected(error: Exception) -> NoReturn:
    first_line_text = str(error).splitlines()[0] if str(error) else ""
    _end(error, f"unexpected {type(error).__name__}: {first_line_text} (-v shows the traceback)", 3)


def _has_lost_its_reader() -> bool:
    """Return True if stdout is a pipe whose reader has seen enough: another broken pipe is a failure."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLOUT)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _discard_output() -> None:
    """Let what is left to write to stdout go nowhere, so that Python says nothing of it at its end."""
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())


def _refusal(error: Exception) -> DcmonError | None:
    """Return what PostgreSQL refused because of the values that the user typed; None for all other errors."""
    if "sqlalchemy" not in sys.modules:
        return None
    from dcmon import db

    return db.to_refusal(error)


def _end(error: BaseException, message: str, code: int) -> NoReturn:
    """Print the message and exit; exit as interrupted if a Ctrl-C caused the error.

    A Ctrl-C during a statement lets the surrounding transaction fail with an error of its own.
    """
    if any(isinstance(cause, KeyboardInterrupt) for cause in _with_causes(error)):
        _fail("interrupted", 130, "interrupted")
    kind = re.sub("(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
    _fail(message, code, kind if isinstance(error, DcmonError) else "failed")


def _with_causes(error: BaseException) -> list[BaseException]:
    """Return an error with its causes and contexts, also indirect ones."""
    visited, pending = list[BaseException](), [error]
    while pending:
        current = pending.pop()
        if current not in visited:
            visited.append(current)
            pending += [cause for cause in (current.__cause__, current.__context__) if cause is not None]
    return visited


def _fail(message: str, code: int, kind: str) -> NoReturn:
    """Print an error to stderr, as an object if the results are data, and exit, also where nothing can be printed."""
    with suppress(OSError):
        _print_error(message, code, kind)
    sys.exit(code)


def _print_error(message: str, code: int, kind: str) -> None:
    if sys.exc_info()[0] is not None and kind != "usage":
        # What dcmon expects is explained by the message; where it was found is for -vv.
        logging.getLogger("dcmon").log(
            logging.INFO if kind == "failed" else logging.DEBUG, "the error came from", exc_info=True
        )
    if _format(globals_first(sys.argv[1:])).has_error_objects:
        print(data_formats.serialize(data_formats.error_object(kind, message, code), Format.jsonl), file=sys.stderr)
    else:
        print(wrapping.wrapped(f"dcmon: {printable(message)}"), file=sys.stderr)


def _format(arguments: list[str]) -> Format:
    """Return the format that the global options ask for, before they are parsed."""
    typed = ""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=False):  # without arguments it is longer
        short = SHORT.fullmatch(word)
        if word == "--output" or (short and short["option"] == "o"):
            typed = following
        elif word.startswith("--output="):
            typed = word.removeprefix("--output=")
        elif short and short["value"]:
            typed = short["value"].removeprefix("=")
    typed = typed.lower()
    return Format(typed) if typed in tuple(Format) else Format.table if typed else _default_format(arguments)


def _default_format(arguments: list[str]) -> Format:
    """Return the format that the profile sets, else that of tables. A wrong profile is an error where it is used.

    A process that stepped down from root may have no access to the file, and prints its errors all the same.
    """
    try:
        if not profiles.path().exists():
            return Format.table
    except OSError:
        return Format.table
    from dcmon import settings

    typed = [following for word, following in pairwise(arguments) if word == "--profile"]
    typed += [word.removeprefix("--profile=") for word in arguments if word.startswith("--profile=")]
    try:
        if typed:
            profiles.choose(typed[-1])
        return profiles.output_format(settings.chosen_profile()) or Format.table
    except DcmonError:
        return Format.table


def globals_first(arguments: list[str]) -> list[str]:
    """Move global options to the front.

    `dcmon org list -o json` becomes `dcmon -o json org list`.
    """
    global_options, others, unread = list[str](), list[str](), list(arguments)
    while unread:
        word = unread.pop(0)
        if word == "--":  # what follows are arguments, also if they look like options
            return [*global_options, *others, word, *unread]
        short = SHORT.fullmatch(word) if len(word) > 1 and others[-1:] != ["--sort"] else None  # not in --sort -open
        is_open = short is not None and bool(short["option"]) and not short["value"]
        is_long = word.startswith("--") and word.partition("=")[0] in OPTIONS_WITH_VALUE and "=" in word
        if (word in OPTIONS_WITH_VALUE or is_open) and not unread:
            return [*global_options, word]  # alone, so that the missing value is what the error is about
        if word in OPTIONS_WITH_VALUE or is_open:
            global_options += [word, unread.pop(0)]
        elif short is not None and not is_open:
            global_options.append(word.replace("o=", "o", 1))
        elif word in FLAGS or is_long:
            global_options.append(word)
        else:
            others.append(word)
    return global_options + others
