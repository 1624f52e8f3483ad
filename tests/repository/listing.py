"""The files of the repository, as git sees them."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def listed(*paths: str) -> list[str]:
    """The files that are in git, or would be with the next `git add`, below `paths`; whoever owns the checkout."""
    options = ["-z", "--cached", "--others", "--exclude-standard"]
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", *options, "--", *paths]
    names = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\0")
    return sorted({name for name in names if (ROOT / name).is_file()})
