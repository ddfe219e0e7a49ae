"""The files for Label Studio, as Label Studio takes them: it runs on this machine, without a network.

the interface -> a project; the folder of the images -> its storage; the tasks -> pictures, boxes, an export
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the package are not ours
TOKEN, START = "0123456789abcdef0123456789abcdef01234567", 300
OPENER = build_opener(ProxyHandler({}))
SILENT = {
    "COLLECT_ANALYTICS": "false",
    "LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "DEBUG": "false",
}


class Server(NamedTuple):
    address: str

    def ask(self, path: str, content: object = None) -> bytes:
        """GET, or POST where there is content. Raises: HTTPError: any answer but 2xx."""
        headers = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}
        body = None if content is None else json.dumps(content).encode()
        with OPENER.open(Request(self.address + path, body, headers), timeout=60) as answer:
            return answer.read()

    def json(self, path: str, content: object = None) -> Any:
        return json.loads(self.ask(path, content))


@pytest.fixture
def server(mined, tmp_path) -> Iterator[Server]:
    """Label Studio on a free port of the loopback, with the root that the mined README names."""
    pytest.importorskip("label_studio", reason="label-studio is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    root = {"LOCAL_FILES_SERVING_ENABLED": "true", "LOCAL_FILES_DOCUMENT_ROOT": str(mined.images.parent)}
    command = [
        *(str(Path(sys.executable).with_name("label-studio")), "start", "--no-browser", "--log-level", "ERROR"),
        *("--host", address, "--internal-host", "127.0.0.1", "--port", str(port), "--data-dir", str(tmp_path / "ls")),
        *("--username", "a@example.org", "--password", "only-for-tests", "--user-token", TOKEN),
        "--enable-legacy-api-token",
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **SILENT, **root}
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for(address, process, tmp_path / "server.log")
            yield Server(address)
        finally:
            process.terminate()
            process.wait(60)


def wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        with suppress(URLError, ConnectionError):
            OPENER.open(f"{address}/health", timeout=5)
            return
        time.sleep(1)
    pytest.fail(f"Label Studio did not start:\n{log.read_text()[-2000:]}")


def tasks_of(mined) -> list[dict[str, Any]]:
    return json.loads((mined.out / "suspects_label_studio.json").read_text())


def boxes_of(results: list[dict[str, Any]]) -> list[tuple[str, float, float, float, float]]:
    return [(r["value"]["rectanglelabels"][0], *in_pixels(r)) for r in results]


def in_pixels(result: dict[str, Any]) -> tuple[float, float, float, float]:
    across, down, value = result["original_width"] / 100, result["original_height"] / 100, result["value"]
    x, y = value["x"] * across, value["y"] * down
    return x, y, x + value["width"] * across, y + value["height"] * down


def test_every_picture_is_shown_and_the_same_boxes_come_back(mined, server):
    config = (mined.out / "label_studio_config.xml").read_text(encoding="utf-8")
    project = server.json("/api/projects", {"title": "mined", "label_config": config})["id"]
    storage = {"project": project, "path": str(mined.images), "use_blob_urls": True}
    with pytest.raises(HTTPError, match="404"):
        server.ask(tasks_of(mined)[0]["data"]["image"])
    server.ask("/api/storages/localfiles", storage)
    server.ask(f"/api/projects/{project}/import", tasks_of(mined))
    names = {task["data"]["image"]: name for task, name in zip(tasks_of(mined), shown(mined), strict=True)}
    for address, name in names.items():
        assert server.ask(address) == (mined.images / name).read_bytes(), name
    chosen = {"selectedItems": {"all": True, "excluded": []}, "project": project}
    server.ask(f"/api/dm/actions?id=predictions_to_annotations&project={project}", chosen)
    exported = server.json(f"/api/projects/{project}/export?exportType=JSON")
    found = {names[task["data"]["image"]]: boxes_of(task["annotations"][0]["result"]) for task in exported}
    assert mined.in_order(found) == mined.in_order(mined.to_correct())


def shown(mined) -> list[str]:
    """The file name of each task's image, the most suspect first."""
    first = mined.tables.suspects.select("image_id").unique(maintain_order=True)
    return first.join(mined.tables.images, on="image_id", maintain_order="left")["file_name"].to_list()


def test_its_converter_takes_the_tasks(mined, tmp_path):
    converter = pytest.importorskip("label_studio_sdk.converter", reason="label-studio-sdk is not installed")
    tasks = [
        {"id": number, "data": task["data"], "annotations": [{"id": number, **task["predictions"][0]}]}
        for number, task in enumerate(tasks_of(mined))
    ]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    config = str(mined.out / "label_studio_config.xml")
    coco = converter.Converter(config, project_dir=None, download_resources=False)
    coco.convert_to_coco(str(tmp_path / "tasks.json"), str(tmp_path / "coco"), is_dir=False)
    converted = json.loads((tmp_path / "coco/result.json").read_text())
    names = {task["data"]["image"]: name for task, name in zip(tasks, shown(mined), strict=True)}
    classes = {category["id"]: category["name"] for category in converted["categories"]}
    found = {names[image["file_name"]]: [] for image in converted["images"]}
    for a in converted["annotations"]:
        x, y, width, height = a["bbox"]
        image = names[converted["images"][a["image_id"]]["file_name"]]
        found[image].append((classes[a["category_id"]], x, y, x + width, y + height))
    assert mined.in_order(found) == mined.in_order(mined.to_correct())
