"""A study: the cells of a grid as tables, differences with their intervals, and a page."""

from pskd.evaluate.study.load import Cell, Difference, MethodResult, Study, StudyTable, load_study
from pskd.evaluate.study.page import write_study_report
from pskd.evaluate.study.tables import study_json, study_latex, study_markdown, study_terminal

__all__ = [
    "Cell",
    "Difference",
    "MethodResult",
    "Study",
    "StudyTable",
    "load_study",
    "study_json",
    "study_latex",
    "study_markdown",
    "study_terminal",
    "write_study_report",
]
