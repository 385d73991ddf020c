"""What holds for the checkout as a whole: its texts, its make targets, its set-up scripts."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
UNREACHABLE = re.compile(
    r"""
    \.\./shared | /[ ]"shared"
    | (?: ^ | [\s(] ) (?P<before> \S+[ ] )? issues?[ ]\#?\d
    | \b (?: DESIGN | ARCHITECTURE | SCALE ) \.md
    """,
    re.VERBOSE,
)
"""A folder, a file or a number of a tracker that only the authors have; `owner/repository issue 5` can be looked up."""


def tracked() -> list[Path]:
    if shutil.which("git") is None or not (CHECKOUT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    return [CHECKOUT / name for name in listed.split("\0") if name]


def unreachable(text: str) -> list[str]:
    """The lines that cite what a reader of the repository cannot see."""
    found = []
    for line in text.splitlines():
        for match in UNREACHABLE.finditer(line):
            if "/" not in (match["before"] or ""):
                found.append(line.strip())
    return found


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("# Measured on the photographs of ../sha" + "red", 1),
        ('BEARS = Path("..") / "sha' + 'red"', 1),
        ("was 8 times slower (iss" + "ue 2).", 1),
        ("as ARCHITECTURE" + ".md says", 1),
        ("shows without a key (WordPress/openverse iss" + "ue 4474)", 0),
        ("label_issues and a shared folder", 0),
    ],
)
def test_what_counts_as_unreachable(line: str, count: int) -> None:
    assert len(unreachable(line)) == count


def test_no_file_cites_what_a_stranger_cannot_see() -> None:
    cited = {}
    for file in tracked():
        try:
            text = file.read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):  # an image; a file that is deleted but not yet committed
            continue
        is_test = file.is_relative_to(CHECKOUT / "tests")
        if not (is_test and "skip" in text) and (lines := unreachable(text)):
            cited[str(file.relative_to(CHECKOUT))] = lines
    assert cited == {}


def test_make_has_the_names_of_the_commands() -> None:
    targets = re.findall(
        r"^([a-z-]+):.*\n\t(?:\$\(BIN\)/collect-and-train (\S+))", (CHECKOUT / "Makefile").read_text(), re.M
    )
    assert dict(targets) == {"demo": "demo", "up": "up"}
    for file in tracked():
        if file.suffix in {".md", ".py", ".yaml", ".toml"} and file != Path(__file__):
            assert "make serve" not in file.read_text(encoding="utf-8"), file


def programs(folder: Path, **scripts: str) -> dict[str, str]:
    """An environment whose PATH holds bash and these scripts alone."""
    folder.mkdir()
    (folder / "bash").symlink_to(shutil.which("bash") or "")
    for name, script in scripts.items():
        (folder / name.replace("_", "-")).write_text(f"#!{folder}/bash\n{script}\n")
        (folder / name.replace("_", "-")).chmod(0o755)
    return {"PATH": str(folder)}


def setup_browser(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [f"{environment['PATH']}/bash", str(CHECKOUT / ".ci/setup-browser"), "python"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_setup_browser_installs_with_apt_get_for_root_alone(tmp_path: Path) -> None:
    apt_get = 'echo "apt-get $*" >&2'
    root = setup_browser(programs(tmp_path / "root", id="echo 0", apt_get=apt_get, python="exit 9"))
    assert root.returncode == 0
    assert "apt-get install -qq --yes --no-install-recommends chromium" in root.stderr
    user = setup_browser(programs(tmp_path / "user", id="echo 1000", apt_get=apt_get, python='echo "python $*"'))
    assert (user.returncode, user.stdout, user.stderr) == (0, "python -m playwright install chromium\n", "")


def test_setup_browser_says_what_to_do_where_no_chromium_can_be_had(tmp_path: Path) -> None:
    result = setup_browser(programs(tmp_path / "none", id="echo 0", apt_get="exit 100", python="exit 1"))
    assert result.returncode == 1
    assert "Ask an administrator for `apt-get install chromium`" in result.stderr


def test_without_a_chromium_the_last_words_of_the_tests_are_the_command_that_brings_one(tmp_path: Path) -> None:
    environment = os.environ | {"PATH": str(tmp_path), "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path)}
    test = "tests/pages/test_review_page.py::test_the_policy_stops_an_inline_script_even_if_one_got_in"
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", test]
    result = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=170)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 browser tests were skipped" in result.stdout
    assert "make setup-browser" in result.stdout.splitlines()[-2]
