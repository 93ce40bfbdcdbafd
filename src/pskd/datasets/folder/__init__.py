"""Your own recordings in a folder: its reader, a check of it, and a picture of a pair."""

from pskd.datasets.folder.reader import Folder

__all__ = ["Folder"]
