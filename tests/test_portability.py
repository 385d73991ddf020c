"""What only POSIX systems have is used behind a question for the platform, so that the packages load on Windows."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
    "root_packages"
]
MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
NAMES = {
    "os": {
        *("chown", "fchmod", "fchown", "fork", "forkpty", "fstatvfs", "getegid", "geteuid", "getgid", "getloadavg"),
        *("getpgid", "getuid", "killpg", "lchown", "mkfifo", "mknod", "nice", "pread", "pwrite", "register_at_fork"),
        *("sched_getaffinity", "sched_setaffinity", "setsid", "statvfs", "sync", "sysconf", "uname"),
        *("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC"),
    },
    "signal": {
        *("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGSTOP", "SIGUSR1", "SIGUSR2"),
        *("ITIMER_REAL", "alarm", "pthread_sigmask", "setitimer", "sigwait"),
    },
    "socket": {"AF_UNIX"},
}


def posix_only(tree: ast.AST, guarded: bool = False) -> Iterator[str]:
    """The names that only POSIX systems have, where no `sys.platform`, `hasattr` or `except ImportError` asks."""
    for node in ast.iter_child_nodes(tree):
        asks = isinstance(node, ast.If | ast.IfExp) and any(
            word in ast.unparse(node.test) for word in ("sys.platform", "hasattr(")
        )
        tries = isinstance(node, ast.Try) and any(
            "ImportError" in ast.unparse(each.type or ast.Pass()) for each in node.handlers
        )
        inside = guarded or asks or tries
        if not inside:
            if isinstance(node, ast.Import):
                yield from (name.name for name in node.names if name.name in MODULES)
            if isinstance(node, ast.ImportFrom) and node.module in MODULES:
                yield str(node.module)
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.attr in NAMES.get(node.value.id, ())
            ):
                yield f"{node.value.id}.{node.attr}"
        yield from posix_only(node, inside)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import fcntl", ["fcntl"]),
        ("def f():\n from resource import getrlimit", ["resource"]),
        ("os.pread(1, 2, 3)", ["os.pread"]),
        ("f(os.open('x', os.O_RDONLY), signal.SIGKILL)", ["signal.SIGKILL"]),
        ("a = () if sys.platform == 'win32' else signal.SIGHUP", []),
        ("if hasattr(signal, 'setitimer'):\n signal.setitimer(0, 1)", []),
        ("try:\n import resource\nexcept (ImportError, OSError):\n pass", []),
    ],
)
def test_what_counts(code: str, found: list[str]) -> None:
    assert list(posix_only(ast.parse(code))) == found


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_that_only_posix_has_is_used_unasked(package: str) -> None:
    found = {
        str(file.relative_to(CHECKOUT)): names
        for file in sorted((CHECKOUT / package).rglob("*.py"))
        if (names := list(posix_only(ast.parse(file.read_text(encoding="utf-8")))))
    }
    assert found == {}
