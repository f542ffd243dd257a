"""A public data set's archive on the web, and fetching it to where the user wants it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pcrq.errors import InputError


@dataclass(frozen=True)
class PublishedArchive:
    """Where the authors of a data set publish it for everyone.

    Args:
        name: the data set.
        url: of its archive, a .zip or .tar.gz.
        sha256: of the archive, in hexadecimal; None where none is published.
        advice: what to do where the archive cannot be fetched.
    """

    name: str
    url: str
    sha256: str | None
    advice: str

    def fetch(self, target: Path) -> Path:
        """Download the archive to ``target`` unless that exists already.

        Raises:
            InputError: the name does not end as that of the archive, or the archive cannot be fetched; the message
                ends with the advice.
        """
        if target.exists():
            return target
        suffix = ".tar.gz" if self.url.endswith(".tar.gz") else ".zip"
        if not target.name.lower().endswith(suffix):
            raise InputError(f"{target}: --download writes an archive; give it a name that ends in {suffix}")
        from data_prep.download import download

        try:
            return download(self.url, target, sha256=self.sha256)
        except InputError as error:
            raise InputError(f"{error}; {self.advice}") from error
