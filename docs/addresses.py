"""The addresses of the project, from setup.cfg."""

from __future__ import annotations

import configparser
import functools
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@functools.cache
def project_url(name: str) -> str:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", "utf-8")
    lines = parser["metadata"]["project_urls"].strip().splitlines()
    return dict(re.split(r"\s*=\s*", line, maxsplit=1) for line in lines)[name].rstrip("/")


@functools.cache
def commit() -> str:
    """Git's name of this commit, or `main` where there is no git"""
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "main"
