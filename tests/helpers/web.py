"""Shared by the tests of the web page's films: a workspace with jobs."""

from pathlib import Path
from typing import Any

from colorize.runtime.web.jobs import Job, Jobs, Settings
from colorize.runtime.web.media import Library
from colorize.runtime.web.workspace import Workspace, new_id

ANN = "ann"
LOSSLESS: dict[str, Any] = {"codec": "ffv1", "container": "mkv", "segment_frames": 16}


def jobs_of(workspace: Workspace, model: Path) -> Jobs:
    """Return the jobs of WORKSPACE, whose one model is MODEL."""
    return Jobs(Library(workspace), {"default": model})


def job_for(jobs: Jobs, film: Path, owner: str = ANN, **settings: Any) -> Job:
    """Return a draft for FILM, uploaded by OWNER."""
    path = jobs.library.workspace.incoming / new_id()
    path.write_bytes(film.read_bytes())
    medium = jobs.library.receive(path, film.name, owner)
    return jobs.create(medium, Settings(**settings), owner)
