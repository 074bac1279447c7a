"""The rest is in setup.cfg. Here: the links of the package page, and the examples in a wheel."""

import configparser
import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class WithExamples(build_py):
    """An installed package has examples/ in it, for `python -m tinygen`."""

    def run(self):
        super().run()
        if not self.editable_mode:
            there = Path(self.build_lib) / "tinygen" / "examples"
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / "examples", there, ignore=ignored, dirs_exist_ok=True)


def package_page():
    """README.md with absolute links: relative ones work only on the code host."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", "utf-8")
    source = re.search(r"^Source = (.*)$", config["metadata"]["project_urls"], re.MULTILINE)[1]

    def absolute(match):
        kind = "raw" if match[1].startswith("!") else "blob"
        return f"{match[1]}({source}/{kind}/main/{match[2]})"

    text = (ROOT / "README.md").read_text("utf-8")
    return re.sub(r"(!?\[[^\]]*\])\((?![a-z]+:|#)([^)]+)\)", absolute, text)


setup(
    cmdclass={"build_py": WithExamples},
    long_description=package_page(),
    long_description_content_type="text/markdown",
)
