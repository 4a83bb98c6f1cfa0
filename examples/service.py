"""A model behind HTTP: lists for users and for histories, and similar items.

    pip install fastapi uvicorn
    MODEL=model.safetensors uvicorn --app-dir examples --factory service:create_app --workers 2
    curl 'localhost:8000/users/7?k=3'
    curl localhost:8000/history -H 'Content-Type: application/json' -d '{"items": [4, 8]}'

A file that takes the place of the model's, as `save` and `examples/nightly.py` put it there, is served within
half a minute; no request waits for it. `MODEL=model.safetensors python examples/service.py` compiles what the
service needs for a model with such parameters, and ends: for the image of a container.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

import tripletrec as tr

LOG = logging.getLogger("uvicorn.error")
EVERY = 30.0  # seconds between two looks at the file
MANY = 300  # users at once, more than are answered without the compiler


class Server:
    """The model of a file, and the next one as soon as it is there."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._stopped = threading.Event()
        self._stamp: tuple[int, int] | None = None
        self.model: Any = None
        self.look()

    def look(self) -> None:
        """Load the file, unless it is the one that was loaded last."""
        status = self._path.stat()
        stamp = status.st_mtime_ns, status.st_ino
        if stamp == self._stamp:
            return
        model = tr.load(self._path, mmap=True)
        warm(model)
        # Requests that are under way keep the former model, whose file lives as long as it does.
        self.model, self._stamp = model, stamp
        LOG.info("serving %s: %d users, %d items", self._path, model.n_users_, model.n_items_)

    def watch(self) -> None:
        """Look every half minute until `stop`; what cannot be loaded is passed over."""
        while not self._stopped.wait(EVERY):
            try:
                self.look()
            except Exception:  # whatever it is, the next file may be better
                LOG.exception("still serving the former model")

    def stop(self) -> None:
        """End `watch`."""
        self._stopped.set()


def warm(model: Any) -> None:
    """Answer each question once, so that no user waits for a compiler or a table of all items."""
    user = 0 if model.user_ids_ is None else model.user_ids_[0]
    item = 0 if model.item_ids_ is None else model.item_ids_[0]
    model.recommend([user] * MANY)
    model.recommend_history([item])
    model.similar_items(item)


def id_of(text: str, ids: np.ndarray | None) -> str | int:
    """Return the id that a URL names, in the type of the model's."""
    are_numbers = ids is None or ids.dtype.kind in "iu"
    return int(text) if are_numbers and text.isascii() and text.isdecimal() else text


def listed(ids: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
    """Return a list as plain Python, for JSON."""
    pairs = zip(ids.tolist(), scores.tolist(), strict=True)
    return [{"item": item, "score": score} for item, score in pairs]


def create_app() -> Any:
    """Return the application, which serves the file that the variable MODEL names."""
    from fastapi import Body, FastAPI, HTTPException, Query

    server = Server(os.environ["MODEL"])
    length = Query(10, ge=1, le=100)
    history = Body(embed=True, max_length=1000)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        threading.Thread(target=server.watch, daemon=True).start()
        yield
        server.stop()

    app = FastAPI(title="Recommendations", lifespan=lifespan)

    # Plain functions and not coroutines: FastAPI calls them in threads.
    @app.get("/health")
    def health() -> dict[str, int]:
        return {"users": server.model.n_users_, "items": server.model.n_items_}

    # What an error says names ids that the model knows, so none is sent on.
    @app.get("/users/{user}")
    def for_user(user: str, k: int = length) -> list[dict[str, Any]]:
        model = server.model
        try:
            return listed(*model.recommend(id_of(user, model.user_ids_), k=k))
        except ValueError:
            raise HTTPException(404, "unknown user") from None

    @app.post("/history")
    def for_history(items: list[int | str] = history, k: int = length) -> list[dict[str, Any]]:
        return listed(*server.model.recommend_history(items, k=k, unknown="drop"))

    @app.get("/items/{item}/similar")
    def similar(item: str, k: int = length) -> list[dict[str, Any]]:
        model = server.model
        try:
            return listed(*model.similar_items(id_of(item, model.item_ids_), k=k))
        except ValueError:
            raise HTTPException(404, "unknown item") from None

    return app


if __name__ == "__main__":
    warm(tr.load(os.environ["MODEL"], mmap=True))
