"""Figures out of run files: scores, comparisons of runs, and the report."""

from pskd.evaluate.compare import Comparison, compare
from pskd.evaluate.metrics import ClassScores, Scores, confusion_matrix, score
from pskd.evaluate.report import as_json, markdown_table, terminal_table, write_report
from pskd.evaluate.run_files import Run, load_run

__all__ = [
    "ClassScores",
    "Comparison",
    "Run",
    "Scores",
    "as_json",
    "compare",
    "confusion_matrix",
    "load_run",
    "markdown_table",
    "score",
    "terminal_table",
    "write_report",
]
