"""The tables that ``pcrq report`` knows. A new one is a module with a :class:`Table`, and a line here."""

from __future__ import annotations

from projects.report.table6 import TABLE_6
from projects.report.table7 import TABLE_7

TABLES = {table.number: table for table in (TABLE_6, TABLE_7)}
