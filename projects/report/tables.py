"""The tables that ``pcrq report`` knows. A new one is a module with a :class:`Table`, and a line here."""

from __future__ import annotations

from projects.report.table1 import TABLE_1
from projects.report.table2 import TABLE_2
from projects.report.table3 import TABLE_3
from projects.report.table4 import TABLE_4
from projects.report.table5 import TABLE_5
from projects.report.table6 import TABLE_6
from projects.report.table7 import TABLE_7
from projects.report.table9 import TABLE_9

TABLES = {table.number: table for table in (TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5, TABLE_6, TABLE_7, TABLE_9)}
