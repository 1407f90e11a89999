"""The root command: global options, commands found lazily, and the one place where errors end."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from dcmon.errors import DcmonError
from dcmon.output import Format, Output

COMMANDS = Path(__file__).parent / "commands"
WITH_VALUE, FLAGS = ("-o", "--output", "--org"), ("-v", "-q", "-vv", "--verbose", "--quiet")


class Commands(TyperGroup):
    """Commands are the modules of dcmon/commands; one is imported only when it is called.

    For the help of the whole, the first line of a module's docstring is read as text.
    """

    _only_names = False

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(path.stem for path in COMMANDS.glob("[a-z]*.py"))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.list_commands(ctx):
            return None
        if self._only_names:
            return TyperCommand(cmd_name, help=first_line(cmd_name))
        command = typer.main.get_command(import_module(f"dcmon.commands.{cmd_name}").app)
        command.name = cmd_name
        return command

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _plain_words():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with _plain_words():
            return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._only_names = True
        super().format_help(ctx, formatter)


@contextmanager
def _plain_words() -> Iterator[None]:
    """What is wrong with an option, without the name of the exception that pydantic puts before it."""
    try:
        yield
    except typer.BadParameter as error:
        error.message = error.message.removeprefix("Value error, ")
        raise


def first_line(command: str) -> str:
    """The first line of a command module's docstring."""
    with (COMMANDS / f"{command}.py").open(encoding="utf-8") as source:
        return source.readline().strip().strip('"').strip()


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Examples: dcmon demo | dcmon up | dcmon status | dcmon -o json alert list",
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"dcmon {version('dcmon')}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    output: Annotated[Format, typer.Option("-o", "--output", help="How results are written.")] = Format.table,
    org: Annotated[str | None, typer.Option("--org", help="Organization; DCMON_ORG. Not needed with one.")] = None,
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more; twice: everything.")] = 0,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but results and errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Watch machine-learning models in production.

    Samples come in over HTTP or Kafka, monitors run deepchecks on windows of them, alert rules judge the values.
    """
    from dcmon.app import App
    from dcmon.log import set_up

    set_up(-1 if quiet else verbose)
    ctx.obj = App(output=Output(output, quiet=quiet), org=org)
    ctx.call_on_close(ctx.obj.close)


def main() -> None:
    """Run the command line; exit with the code that dcmon.errors documents."""
    try:
        _run()
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    finally:
        # What is done is done, and the exit code says it: a Ctrl-C while Python ends would make a signal of it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run() -> None:
    try:
        app(args=globals_first(sys.argv[1:]), prog_name="dcmon")
    except DcmonError as error:
        _end(error, str(error), error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else ""
        _end(error, f"unexpected {type(error).__name__}: {first} (-v shows where)", 3)


def _end(error: BaseException, message: str, code: int) -> None:
    """Fail; as interrupted where the error came of that: a statement that Ctrl-C ended breaks what is around it."""
    is_interrupted = any(isinstance(each, KeyboardInterrupt) for each in _behind(error))
    _fail("interrupted" if is_interrupted else message, 130 if is_interrupted else code)


def _behind(error: BaseException) -> list[BaseException]:
    """An error, and those that it came of, or while which it came."""
    found, left = list[BaseException](), [error]
    while left:
        each = left.pop()
        if each not in found:
            found.append(each)
            left += [before for before in (each.__cause__, each.__context__) if before is not None]
    return found


def _fail(message: str, code: int) -> None:
    if any(flag in sys.argv for flag in ("-v", "-vv", "--verbose")):
        import traceback

        traceback.print_exc()
    print(f"dcmon: {message}", file=sys.stderr)
    sys.exit(code)


def globals_first(arguments: list[str]) -> list[str]:
    """Move global options to the front, so that `dcmon org list -o json` works like `dcmon -o json org list`."""
    front, rest, left = list[str](), list[str](), list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            return [*front, *rest, word, *left]
        if word in WITH_VALUE and left:
            front += [word, left.pop(0)]
        elif word in FLAGS or word.startswith(("--output=", "--org=")):
            front.append(word)
        else:
            rest.append(word)
    return front + rest
