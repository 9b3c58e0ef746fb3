"""How fast does each initialization scheme converge, at which depth and with which activation?

A *cell* is a data set, an activation, a depth and a scheme. It is trained at each of a few learning rates
from several seeds; what counts is the number of steps until the training loss has fallen to the target of the
data set, at the best learning rate. ``minidl compare`` prints and draws it, and the benchmarks track it.

Examples
--------
>>> from minidl import compare
>>> task = compare.TASKS["spirals"].with_options(steps=20, learning_rates=(0.1,), seeds=2)
>>> cells = [compare.Cell("spirals", "tanh", 2, scheme) for scheme in ("xavier_uniform", "zeros")]
>>> records = compare.run(cells, {"spirals": task})
>>> [record["failed"] for record in records.values()]
[..., 2]
"""

from minidl.compare.cells import Cell, measure, train
from minidl.compare.pool import Results, run
from minidl.compare.report import reasons, table
from minidl.compare.tasks import TASKS, Rows, Task, load

__all__ = ["TASKS", "Cell", "Results", "Rows", "Task", "load", "measure", "reasons", "run", "table", "train"]
