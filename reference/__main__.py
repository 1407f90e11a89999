"""Write docs/commands.md and man/."""

from pathlib import Path

from reference import man, markdown
from reference.tree import global_options, nouns

ROOT = Path(__file__).parent.parent


def files() -> dict[Path, str]:
    """Return the content of each generated file."""
    listed, options = nouns(), global_options()
    pages = {ROOT / "man" / name: source for name, source in man.pages(listed, options).items()}
    return {ROOT / "docs" / "commands.md": markdown.page(listed, options), **pages}


def main() -> None:
    """Write all files, and remove man pages of commands that are deleted."""
    generated = files()
    for path in (ROOT / "man").glob("*.1"):
        if path not in generated:
            path.unlink()
    for path, content in generated.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
