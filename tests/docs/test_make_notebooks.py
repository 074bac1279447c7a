"""Pages become notebooks; test_docs.py runs them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))
from make_notebooks import DOCS, notebook, pages  # noqa: E402

PAGE = """# A page

See [VAEs](vae.md#training), [a file](../tinygen/vae/model.py), [here](#here), [paper](https://a.b).

![text](figures/vae_plane.png)

```math
x^2
```

```python
print(1)
```

which prints

```text
1
```

<details>
<summary>Solutions</summary>

1. Divide:

   ```python raises=ZeroDivisionError
   1 / 0
   ```

   ```text
   ZeroDivisionError: division by zero
   ```

</details>

```sh
ls
```
"""


def test_prose_and_code_become_cells():
    cells = notebook(DOCS / "page.md", PAGE)["cells"]
    kinds = [cell["cell_type"] for cell in cells]
    assert kinds == ["markdown", "code", "markdown", "code", "markdown", "code", "markdown"]
    assert cells[0]["source"].startswith("# A page\n") and "%pip install" in cells[1]["source"]
    assert "$$\nx^2\n$$" in cells[2]["source"]
    assert cells[3]["source"] == "print(1)" and cells[3]["outputs"][0]["text"] == "1\n"
    assert "which prints" in cells[4]["source"] and "**Solutions**" in cells[4]["source"]
    assert cells[5]["source"] == "1 / 0"  # without its indentation
    assert cells[5]["metadata"]["tags"] == ["raises-exception"]
    assert cells[5]["metadata"]["jupyter"] == {"source_hidden": True}
    assert cells[5]["outputs"][0]["ename"] == "ZeroDivisionError"
    assert cells[6]["source"] == "```sh\nls\n```"


def test_links_and_pictures_have_whole_addresses():
    text = "".join(cell["source"] for cell in notebook(DOCS / "page.md", PAGE)["cells"])
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert all(link.startswith("https://") for link in links)
    for end in ("/vae.html#training", "/tinygen/vae/model.py", "/page.html#here", "a.b"):
        assert any(link.endswith(end) for link in links)
    assert any("/raw/" in link and link.endswith("/docs/figures/vae_plane.png") for link in links)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_a_notebook_has_no_relative_link_and_distinct_ids(page):
    cells = notebook(page, page.read_text("utf-8"))["cells"]
    prose = "".join(c["source"] for c in cells if c["cell_type"] == "markdown")
    assert not re.findall(r"\]\((?!https?:)[^)\s]+\)", re.sub(r"`[^`]*`", "", prose))
    assert "```python" not in prose and "```math" not in prose and "details>" not in prose
    ids = [cell["id"] for cell in cells]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[\w-]{1,64}", i) for i in ids)


def test_the_command_writes_the_pages_that_are_named(tmp_path):
    command = [sys.executable, ROOT / "docs" / "make_notebooks.py", "--out", tmp_path, "vae"]
    subprocess.run(command, check=True, capture_output=True)
    assert [path.name for path in tmp_path.iterdir()] == ["vae.ipynb"]
    assert json.loads((tmp_path / "vae.ipynb").read_text("utf-8"))["nbformat_minor"] == 5
    wrong = subprocess.run([*command, "nothing"], check=False, capture_output=True, text=True)
    assert "no page with Python code is named nothing" in wrong.stderr
